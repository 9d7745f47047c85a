#include <cmath>
#include <numbers>
#include <utility>

#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// A function of one variable and its first two derivatives, entry by entry.
struct Jet {
  at::Tensor value;
  at::Tensor first;
  at::Tensor second;
};

/// x p with the logistic function p: p' = p q with q = 1 - p, and p'' = p q (q - p).
Jet silu_jet(const at::Tensor& x) {
  const at::Tensor p = at::sigmoid(x);
  const at::Tensor q = 1 - p;
  const at::Tensor slope = p * q;
  return {x * p, p + x * slope, slope * (2 + x * (q - p))};
}

/// x Phi(x) with the normal distribution: slope Phi + x phi, curvature (2 - x^2) phi.
Jet exact_gelu_jet(const at::Tensor& x) {
  const at::Tensor distribution = 0.5 * (1 + at::erf(x * (1 / std::numbers::sqrt2)));
  const at::Tensor density = (x.square() * -0.5).exp() * (1 / std::sqrt(2 * std::numbers::pi));
  return {x * distribution, distribution + x * density, (2 - x.square()) * density};
}

/// x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).
Jet tanh_gelu_jet(const at::Tensor& x) {
  constexpr double cubic = 0.044715;
  const double scale = std::sqrt(2 / std::numbers::pi);
  const at::Tensor t = at::tanh(scale * (x + cubic * x.pow(3)));
  const at::Tensor sech = 1 - t.square();
  const at::Tensor u_first = scale * (1 + 3 * cubic * x.square());
  const at::Tensor u_second = (6 * cubic * scale) * x;
  return {0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * sech * u_first,
          sech * u_first + 0.5 * x * sech * (u_second - 2 * t * u_first.square())};
}

/// y = G(x): xbar = ybar G', xbardot = ybardot G' + ybar G'' xdot.
class GeluRule final : public Rule {
 public:
  explicit GeluRule(Jet jet) : first_(std::move(jet.first)), second_(std::move(jet.second)) {
    value_ = std::move(jet.value);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    curvature_ = cotangent * second_;
    second_ = at::Tensor();
    return {cotangent * first_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    scratch = {tangents[0]};
    return tangents[0] * for_vectors(first_);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    return {(cotangent_tangent * for_vectors(first_)).addcmul_(for_vectors(curvature_), scratch[0])};
  }

 private:
  at::Tensor first_;      // G'
  at::Tensor second_;     // G'', until the cotangent is known
  at::Tensor curvature_;  // ybar G''
};

/// y = G(g) u with G = silu:
///   gbar = ybar u G'    gbardot = ybardot u G' + ybar G' udot + ybar u G'' gdot
///   ubar = ybar G       ubardot = ybardot G + ybar G' gdot
class SiluGateRule final : public Rule {
 public:
  SiluGateRule(const at::Tensor& gate, const at::Tensor& up) {
    Jet jet = silu_jet(gate);
    value_ = jet.value * up;
    silu_ = std::move(jet.value);
    slope_ = jet.first * up;
    mixed_ = std::move(jet.first);
    curvature_ = jet.second.mul_(up);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    mixed_ = cotangent * mixed_;
    curvature_ = cotangent * curvature_;
    return {cotangent * slope_, cotangent * silu_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    scratch = {tangents[0], tangents[1]};
    return (tangents[0] * for_vectors(slope_)).addcmul_(tangents[1], for_vectors(silu_));
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor mixed = for_vectors(mixed_);
    at::Tensor gate = (cotangent_tangent * for_vectors(slope_)).addcmul_(mixed, scratch[1]);
    gate.addcmul_(for_vectors(curvature_), scratch[0]);
    return {gate, (cotangent_tangent * for_vectors(silu_)).addcmul_(mixed, scratch[0])};
  }

 private:
  at::Tensor silu_;       // G
  at::Tensor slope_;      // u G'
  at::Tensor mixed_;      // G', then ybar G'
  at::Tensor curvature_;  // u G'', then ybar u G''
};

}  // namespace

RulePtr record(const SiluGate& /*gate*/, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<SiluGateRule>(inputs[0], inputs[1]);
}

RulePtr record(const Gelu& gelu, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<GeluRule>(gelu.tanh_approximation ? tanh_gelu_jet(inputs[0]) : exact_gelu_jet(inputs[0]));
}

}  // namespace hessian::tape
