#include <utility>

#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of a sum of one or two activations: derivatives pass through unchanged.
class SumRule final : public Rule {
 public:
  SumRule(at::Tensor value, std::size_t terms) : terms_(terms) { value_ = std::move(value); }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    return std::vector<at::Tensor>(terms_, cotangent);
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return terms_ == 1 ? tangents[0] : tangents[0] + tangents[1];
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return std::vector<at::Tensor>(terms_, cotangent_tangent);
  }

 private:
  std::size_t terms_;
};

/// The rule of y = c x: every derivative is multiplied by c.
class ScaleRule final : public Rule {
 public:
  ScaleRule(const at::Tensor& x, double factor) : factor_(factor) { value_ = x * factor; }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override { return {cotangent * factor_}; }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return tangents[0] * factor_;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {cotangent_tangent * factor_};
  }

 private:
  double factor_;
};

}  // namespace

RulePtr record(const Add& /*add*/, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<SumRule>(inputs[0] + inputs[1], 2);
}

RulePtr record(const Identity& /*identity*/, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<SumRule>(inputs[0], 1);
}

RulePtr record(const Scale& scale, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<ScaleRule>(inputs[0], scale.factor);
}

}  // namespace hessian::tape
