#include <utility>

#include "rows/norm_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// RMSNorm, and LayerNorm as RMSNorm of the centred input; see norm_rows.h for the formulas and their letters.
class NormRule final : public Rule {
 public:
  NormRule(const at::Tensor& x, const at::Tensor& gain, const at::Tensor& bias, double eps, bool centred)
      : gain_(gain.to(x.scalar_type()).contiguous()), centred_(centred) {
    const at::Tensor p = project(x);
    inverse_rms_ = (p.square().mean(-1, true) + eps).rsqrt();
    normalised_ = p.mul(inverse_rms_).contiguous();
    value_ = normalised_ * gain_;
    if (bias.defined()) {
      value_ = value_ + bias.to(x.scalar_type());
    }
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    scaled_cotangent_ = cotangent.mul(gain_).contiguous();
    along_ = (scaled_cotangent_ * normalised_).mean(-1, true);
    mean_ = scaled_cotangent_.mean(-1, true);
    return {inverse_rms_ * (project(scaled_cotangent_) - normalised_ * along_)};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    const at::Tensor xdot = tangents[0].contiguous();
    at::Tensor ydot = at::empty_like(xdot);
    const at::Tensor ndot = at::empty_like(xdot);
    const at::Tensor a = at::empty(xdot.sizes().slice(0, 3), xdot.options());
    rows::with_type_of(xdot, [&]<class T>(T) {
      const rows::NormJvp<T> pass{values<T>(xdot), xdot.const_data_ptr<T>(), ydot.data_ptr<T>(), ndot.data_ptr<T>(),
                                  a.data_ptr<T>()};
      rows::run_over_last_axis(pass, xdot);
    });
    scratch = {a, ndot};
    return ydot;
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    const at::Tensor& a = scratch[0];
    const at::Tensor& ndot = scratch[1];
    const at::Tensor ybardot = cotangent_tangent.contiguous();
    const at::Tensor xbardot = at::empty_like(ybardot);
    rows::with_type_of(ybardot, [&]<class T>(T) {
      const rows::NormVjpTangent<T> pass{values<T>(ybardot),          scaled_cotangent_.const_data_ptr<T>(),
                                         along_.const_data_ptr<T>(),  mean_.const_data_ptr<T>(),
                                         ndot.const_data_ptr<T>(),    a.const_data_ptr<T>(),
                                         ybardot.const_data_ptr<T>(), xbardot.data_ptr<T>()};
      rows::run_over_last_axis(pass, ybardot);
    });
    return {xbardot};
  }

 private:
  at::Tensor project(const at::Tensor& x) const { return centred_ ? x - x.mean(-1, true) : x; }

  template <class T>
  rows::NormValues<T> values(const at::Tensor& tangent) const {
    return {normalised_.const_data_ptr<T>(),
            inverse_rms_.const_data_ptr<T>(),
            gain_.const_data_ptr<T>(),
            centred_,
            normalised_.size(-1),
            map_of(tangent)};
  }

  at::Tensor gain_;
  bool centred_;
  at::Tensor inverse_rms_;       // r, [S, T, 1]
  at::Tensor normalised_;        // n
  at::Tensor scaled_cotangent_;  // c
  at::Tensor along_;             // m, [S, T, 1]
  at::Tensor mean_;              // mean(c), [S, T, 1]
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
