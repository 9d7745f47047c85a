#include <utility>

#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// RMSNorm, and LayerNorm as RMSNorm of the centred input. With P the projection that takes the mean out (or the
/// identity), r = (mean((Px)^2) + eps)^(-1/2) and n = r Px, both read y = g n + b. Let c = g ybar:
///   ndot    = r (P xdot - n a),                            a = mean(n xdot), rdot = -r^2 a
///   xbar    = r (P c - n m),                               m = mean(c n)
///   xbardot = -r a xbar + r (P cdot - ndot m - n mdot),    mdot = mean(cdot n + c ndot)
class NormRule final : public Rule {
 public:
  NormRule(const at::Tensor& x, at::Tensor gain, const at::Tensor& bias, double eps, bool centred)
      : gain_(std::move(gain)), centred_(centred) {
    const at::Tensor p = project(x);
    inverse_rms_ = (p.square().mean(-1, true) + eps).rsqrt();
    normalised_ = p * inverse_rms_;
    value_ = normalised_ * gain_;
    if (bias.defined()) {
      value_ = value_ + bias;
    }
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    scaled_cotangent_ = cotangent * gain_;
    mean_ = (scaled_cotangent_ * normalised_).mean(-1, true);
    input_cotangent_ = inverse_rms_ * (project(scaled_cotangent_) - normalised_ * mean_);
    return {input_cotangent_};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor n = for_vectors(normalised_);
    const at::Tensor a = (n * tangents[0]).mean(-1, true);
    const at::Tensor ndot = project(tangents[0]).addcmul(n, a, -1).mul_(for_vectors(inverse_rms_));
    scratch = {a, ndot};
    return ndot * gain_;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor& a = scratch[0];
    const at::Tensor& ndot = scratch[1];
    const at::Tensor n = for_vectors(normalised_);
    const at::Tensor r = for_vectors(inverse_rms_);
    const at::Tensor cdot = cotangent_tangent * gain_;
    const at::Tensor mdot = (cdot * n).addcmul_(for_vectors(scaled_cotangent_), ndot).mean(-1, true);
    at::Tensor result = project(cdot).addcmul(ndot, for_vectors(mean_), -1).addcmul_(n, mdot, -1).mul_(r);
    result.addcmul_(r * a, for_vectors(input_cotangent_), -1);
    return {result};
  }

 private:
  at::Tensor project(const at::Tensor& x) const { return centred_ ? x - x.mean(-1, true) : x; }

  at::Tensor gain_;
  bool centred_;
  at::Tensor inverse_rms_;       // [S, T, 1]
  at::Tensor normalised_;        // n
  at::Tensor scaled_cotangent_;  // c
  at::Tensor mean_;              // m
  at::Tensor input_cotangent_;   // xbar
};

}  // namespace

RulePtr record(const RmsNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters) {
  return std::make_unique<NormRule>(inputs[0], parameters.at(norm.gain), at::Tensor(), norm.eps, false);
}

RulePtr record(const LayerNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters) {
  return std::make_unique<NormRule>(inputs[0], parameters.at(norm.gain),
                                    norm.bias.empty() ? at::Tensor() : parameters.at(norm.bias), norm.eps, true);
}

}  // namespace hessian::tape
