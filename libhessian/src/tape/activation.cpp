#include <cmath>
#include <numbers>
#include <utility>

#include "kernels/rows/activation_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// A function of one variable and its first two derivatives, per entry.
struct Jet {
  at::Tensor value;
  at::Tensor first;
  at::Tensor second;
};

/// Computes x p with the logistic function p: p' = p q with q = 1 - p, and p'' = p q (q - p).
Jet silu_jet(const at::Tensor& x) {
  const at::Tensor p = at::sigmoid(x);
  const at::Tensor q = 1 - p;
  const at::Tensor slope = p * q;
  return {x * p, p + x * slope, slope * (2 + x * (q - p))};
}

/// Computes x Phi(x) with the normal distribution Phi and its density phi: first derivative Phi + x phi, second
/// derivative (2 - x^2) phi.
Jet exact_gelu_jet(const at::Tensor& x) {
  const at::Tensor distribution = 0.5 * (1 + at::erf(x * (1 / std::numbers::sqrt2)));
  const at::Tensor density = (x.square() * -0.5).exp() * (1 / std::sqrt(2 * std::numbers::pi));
  return {x * distribution, distribution + x * density, (2 - x.square()) * density};
}

/// Computes x (1 + tanh u) / 2 with u = sqrt(2 / pi) (x + 0.044715 x^3).
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

/// The rule of y = G(x): xbar = ybar G'. See activation_rows.h for the tangents.
class GeluRule final : public Rule {
 public:
  explicit GeluRule(Jet jet) : first_(jet.first.contiguous()), second_(std::move(jet.second)) {
    value_ = std::move(jet.value);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    curvature_ = cotangent.mul(second_).contiguous();
    second_ = at::Tensor();
    return {cotangent * first_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor xdot = tangents[0].contiguous();
    at::Tensor ydot = at::empty_like(xdot);
    rows::with_type_of(xdot, [&]<class T>(T) {
      const rows::EntrywiseJvp<T> pass{first_.const_data_ptr<T>(), xdot.size(-1), map_of(xdot),
                                       xdot.const_data_ptr<T>(), ydot.data_ptr<T>()};
      rows::run_over_last_axis(pass, xdot);
    });
    scratch = {xdot};
    return ydot;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor ybardot = cotangent_tangent.contiguous();
    const at::Tensor xbardot = at::empty_like(ybardot);
    rows::with_type_of(ybardot, [&]<class T>(T) {
      const rows::EntrywiseVjpTangent<T> pass{
          first_.const_data_ptr<T>(),     curvature_.const_data_ptr<T>(), ybardot.size(-1),     map_of(ybardot),
          scratch[0].const_data_ptr<T>(), ybardot.const_data_ptr<T>(),    xbardot.data_ptr<T>()};
      rows::run_over_last_axis(pass, ybardot);
    });
    return {xbardot};
  }

 private:
  at::Tensor first_;      // G'
  at::Tensor second_;     // G'', until the cotangent is known
  at::Tensor curvature_;  // ybar G''
};

/// The rule of y = G(g) u with G = silu: gbar = ybar u G', ubar = ybar G. See activation_rows.h for the tangents.
class SiluGateRule final : public Rule {
 public:
  SiluGateRule(const at::Tensor& gate, const at::Tensor& up) {
    Jet jet = silu_jet(gate);
    value_ = jet.value * up;
    silu_ = jet.value.contiguous();
    slope_ = jet.first.mul(up).contiguous();
    mixed_ = std::move(jet.first);
    curvature_ = jet.second.mul_(up);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    mixed_ = cotangent.mul(mixed_).contiguous();
    curvature_ = cotangent.mul(curvature_).contiguous();
    return {cotangent * slope_, cotangent * silu_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor gdot = tangents[0].contiguous();
    const at::Tensor udot = tangents[1].contiguous();
    at::Tensor ydot = at::empty_like(gdot);
    rows::with_type_of(gdot, [&]<class T>(T) {
      const rows::GateJvp<T> pass{
          silu_.const_data_ptr<T>(), slope_.const_data_ptr<T>(), gdot.size(-1),     map_of(gdot),
          gdot.const_data_ptr<T>(),  udot.const_data_ptr<T>(),   ydot.data_ptr<T>()};
      rows::run_over_last_axis(pass, gdot);
    });
    scratch = {gdot, udot};
    return ydot;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor ybardot = cotangent_tangent.contiguous();
    const at::Tensor gbardot = at::empty_like(ybardot);
    const at::Tensor ubardot = at::empty_like(ybardot);
    rows::with_type_of(ybardot, [&]<class T>(T) {
      const rows::GateVjpTangent<T> pass{silu_.const_data_ptr<T>(),
                                         slope_.const_data_ptr<T>(),
                                         mixed_.const_data_ptr<T>(),
                                         curvature_.const_data_ptr<T>(),
                                         ybardot.size(-1),
                                         map_of(ybardot),
                                         scratch[0].const_data_ptr<T>(),
                                         scratch[1].const_data_ptr<T>(),
                                         ybardot.const_data_ptr<T>(),
                                         gbardot.data_ptr<T>(),
                                         ubardot.data_ptr<T>()};
      rows::run_over_last_axis(pass, ybardot);
    });
    return {gbardot, ubardot};
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
