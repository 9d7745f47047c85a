#include <utility>

#include "rope_table.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// A rotation R of pairs: ydot = R xdot, xbar = R^T ybar, and xbardot = R^T ybardot.
class RopeRule final : public Rule {
 public:
  RopeRule(const at::Tensor& x, int64_t head_dim, double theta)
      : head_dim_(head_dim), table_(cached_rope_table(head_dim, theta, x.size(-2), x.options())) {
    value_ = turn(x, 1);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override { return {turn(cotangent, -1)}; }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return turn(tangents[0], 1);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {turn(cotangent_tangent, -1)};
  }

 private:
  /// \param x  [..., T, heads * head_dim]
  at::Tensor turn(const at::Tensor& x, double sign) const {
    auto shape = x.sizes().vec();
    shape.pop_back();
    shape.insert(shape.end(), {-1, head_dim_ / 2, 2});
    const at::Tensor pairs = x.reshape(shape);
    const at::Tensor even = pairs.select(-1, 0);
    const at::Tensor odd = pairs.select(-1, 1);
    const at::Tensor cosine = table_.select(1, 0).unsqueeze(1);  // [T, 1, head_dim / 2]: the same for all heads
    const at::Tensor sine = table_.select(1, 1).unsqueeze(1) * sign;
    const at::Tensor turned = at::empty_like(pairs);
    turned.select(-1, 0).copy_((even * cosine).addcmul_(odd, sine, -1));
    turned.select(-1, 1).copy_((even * sine).addcmul_(odd, cosine));
    return turned.view(x.sizes());
  }

  int64_t head_dim_;
  at::Tensor table_;  // [T, 2, head_dim / 2]
};

}  // namespace

RulePtr record(const Rope& rope, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<RopeRule>(inputs[0], rope.head_dim, rope.theta);
}

}  // namespace hessian::tape
