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

Jet gelu_jet(const at::Tensor& x, bool tanh_approximation) {
  return tanh_approximation ? tanh_gelu_jet(x) : exact_gelu_jet(x);
}

/// Computes cap t with t = tanh(x / cap): first derivative 1 - t^2, second derivative -2 t (1 - t^2) / cap.
Jet soft_cap_jet(const at::Tensor& x, double cap) {
  const at::Tensor t = at::tanh(x / cap);
  const at::Tensor slope = 1 - t.square();
  return {cap * t, slope, t * slope * (-2 / cap)};
}

/// The rule of y = G(x): xbar = ybar G'. See activation_rows.h for the tangents.
class EntrywiseRule final : public Rule {
 public:
  explicit EntrywiseRule(Jet jet) : first_(jet.first.contiguous()), second_(std::move(jet.second)) {
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

/// The rule of y = G(g) u: gbar = ybar u G', ubar = ybar G. See activation_rows.h for the tangents.
class GateRule final : public Rule {
 public:
  /// \param jet  of G at the gate
  GateRule(Jet jet, const at::Tensor& up) {
    value_ = jet.value * up;
    activated_ = jet.value.contiguous();
    slope_ = jet.first.mul(up).contiguous();
    mixed_ = std::move(jet.first);
    curvature_ = jet.second.mul_(up);
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    mixed_ = cotangent.mul(mixed_).contiguous();
    curvature_ = cotangent.mul(curvature_).contiguous();
    return {cotangent * slope_, cotangent * activated_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor gdot = tangents[0].contiguous();
    const at::Tensor udot = tangents[1].contiguous();
    at::Tensor ydot = at::empty_like(gdot);
    rows::with_type_of(gdot, [&]<class T>(T) {
      const rows::GateJvp<T> pass{
          activated_.const_data_ptr<T>(), slope_.const_data_ptr<T>(), gdot.size(-1),     map_of(gdot),
          gdot.const_data_ptr<T>(),       udot.const_data_ptr<T>(),   ydot.data_ptr<T>()};
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
      const rows::GateVjpTangent<T> pass{activated_.const_data_ptr<T>(),
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
  at::Tensor activated_;  // G
  at::Tensor slope_;      // u G'
  at::Tensor mixed_;      // G', then ybar G'
  at::Tensor curvature_;  // u G'', then ybar u G''
};

}  // namespace

RulePtr record(const SiluGate& /*gate*/, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<GateRule>(silu_jet(inputs[0]), inputs[1]);
}

RulePtr record(const Gelu& gelu, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<EntrywiseRule>(gelu_jet(inputs[0], gelu.tanh_approximation));
}

RulePtr record(const GeluGate& gate, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<GateRule>(gelu_jet(inputs[0], gate.tanh_approximation), inputs[1]);
}

RulePtr record(const SoftCap& cap, std::span<const at::Tensor> inputs, const Parameters& /*parameters*/) {
  return std::make_unique<EntrywiseRule>(soft_cap_jet(inputs[0], cap.cap));
}

}  // namespace hessian::tape
