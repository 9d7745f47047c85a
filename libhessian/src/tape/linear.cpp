#include <utility>

#include "products.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// y = x W^T + b; xbar = ybar W. Both are linear, so that their tangents are the same products.
class LinearRule final : public Rule {
 public:
  LinearRule(const at::Tensor& x, at::Tensor weight, const at::Tensor& bias) : weight_(std::move(weight)) {
    value_ = times_transposed(x, weight_);
    if (bias.defined()) {
      value_ = value_ + bias.to(x.scalar_type());
    }
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override { return {times(cotangent, weight_)}; }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return times_transposed(tangents[0], weight_);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {times(cotangent_tangent, weight_)};
  }

 private:
  at::Tensor weight_;
};

}  // namespace

RulePtr record(const Linear& linear, std::span<const at::Tensor> inputs, const Parameters& parameters) {
  return std::make_unique<LinearRule>(inputs[0], parameters.at(linear.weight),
                                      linear.bias.empty() ? at::Tensor() : parameters.at(linear.bias));
}

}  // namespace hessian::tape
