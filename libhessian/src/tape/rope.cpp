#include <utility>

#include "kernels/rows/rope_rows.h"
#include "program/rope_table.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of y = R x with a rotation R of pairs, or a multiple of one: ydot = R xdot, xbar = R^T ybar, and
/// xbardot = R^T ybardot.
class RopeRule final : public Rule {
 public:
  RopeRule(const at::Tensor& x, const Rope& rope)
      : head_dim_(rope.head_dim), table_(cached_rope_table(rope, x.size(-2), x.options())) {
    value_ = turn(x, false);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override { return {turn(cotangent, true)}; }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return turn(tangents[0], false);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {turn(cotangent_tangent, true)};
  }

 private:
  /// Rotates the pairs of x [..., T, heads * head_dim] by the angles of their positions, or back.
  at::Tensor turn(const at::Tensor& x, bool back) const {
    const at::Tensor in = x.contiguous();
    at::Tensor out = at::empty_like(in);
    rows::with_type_of(in, [&]<class T>(T) {
      const rows::RotatePairs<T> pass{
          in.const_data_ptr<T>(), table_.const_data_ptr<T>(), back, in.size(-2), in.size(-1) / head_dim_, head_dim_,
          out.data_ptr<T>()};
      rows::run_rows(pass, in.numel() / head_dim_, head_dim_, in.device());
    });
    return out;
  }

  int64_t head_dim_;
  at::Tensor table_;  // [T, 2, head_dim / 2]
};

}  // namespace

RulePtr record(const Rope& rope, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<RopeRule>(inputs[0], rope);
}

}  // namespace hessian::tape
