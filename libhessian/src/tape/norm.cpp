#include <utility>

#include "kernels/rows/norm_rows.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of LayerNorm, and of RMSNorm as a LayerNorm that neither centres its input nor has a bias. See norm_rows.h
/// for the formulas and the notation. With tangents of the gain and the bias
///   ydot = g ndot + gdot n + bdot    cdot = g ybardot + gdot ybar
///   gbardot = sum(ybardot n + ybar ndot)    bbardot = sum(ybardot)
///
/// A norm of H heads of width w is a norm of H times as many rows: activations [S, T, H w] are viewed as [S, T H, w], and
/// their tangents as [S, k, T H, w]. All members have the shapes of rows.
class NormRule final : public Rule {
 public:
  /// What LayerNorm and RMSNorm differ in.
  struct Kind {
    bool centred = false;
    int64_t heads = 1;
    double gain_offset = 0;
  };

  NormRule(const LayerNorm& norm, const Kind& kind, const at::Tensor& x, const Parameters& parameters,
           const Demand& demand)
      : norm_(norm),
        kind_(kind),
        gain_(parameters.at(norm.gain).to(x.scalar_type()).contiguous()),
        keeps_cotangent_(demand.varies(norm.gain) && demand.keeps_cotangents()) {
    if (kind.gain_offset != 0) {
      gain_ = gain_ + kind.gain_offset;
    }
    const at::Tensor p = project(as_rows(x));
    inverse_rms_ = (p.square().mean(-1, true) + norm.eps).rsqrt();
    normalised_ = p.mul(inverse_rms_).contiguous();
    value_ = as_activations(normalised_ * gain_);
    if (!norm.bias.empty()) {
      value_ = value_ + parameters.at(norm.bias).to(x.scalar_type());
    }
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    const at::Tensor ybar = as_rows(cotangent);
    if (keeps_cotangent_) {
      cotangent_ = ybar;
    }
    scaled_cotangent_ = ybar.mul(gain_).contiguous();
    along_ = (scaled_cotangent_ * normalised_).mean(-1, true);
    mean_ = scaled_cotangent_.mean(-1, true);
    return {as_activations(inverse_rms_ * (project(scaled_cotangent_) - normalised_ * along_))};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const override {
    return as_activations(value_tangent(as_rows(tangents[0]), scratch));
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const override {
    return {as_activations(input_cotangent_tangent(as_rows(cotangent_tangent), gain_, scratch))};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, const Parameters& parameter_tangents,
                            Scratch& scratch) const override {
    const at::Tensor gain_dot = tangent_of(parameter_tangents, norm_.gain);
    const at::Tensor bias_dot = tangent_of(parameter_tangents, norm_.bias);
    at::Tensor ydot = tangents[0].defined() ? value_tangent(as_rows(tangents[0]), scratch) : at::Tensor();
    if (gain_dot.defined()) {
      ydot = ydot.defined() ? ydot.addcmul_(for_vectors(normalised_), for_positions(gain_dot))
                            : for_vectors(normalised_) * for_positions(gain_dot);
    }
    if (bias_dot.defined()) {
      ydot = ydot.defined() ? ydot.add_(for_positions(bias_dot))
                            : at::zeros_like(for_vectors(normalised_)) + for_positions(bias_dot);
    }
    return as_activations(ydot);
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent, const Parameters& parameter_tangents,
                                           Scratch& scratch) const override {
    const at::Tensor ybardot = as_rows(cotangent_tangent);
    const at::Tensor gain_dot = tangent_of(parameter_tangents, norm_.gain);
    const bool input_moves = !scratch.empty();
    CotangentTangents result{{at::Tensor()}, {}};
    if (input_moves && keeps_cotangent_) {
      const at::Tensor cdot = at::mul(ybardot, gain_).addcmul_(for_vectors(cotangent_), for_positions(gain_dot));
      result.inputs[0] = as_activations(input_cotangent_tangent(cdot, at::ones_like(gain_), scratch));
    } else if (input_moves) {
      result.inputs[0] = as_activations(input_cotangent_tangent(ybardot, gain_, scratch));
    }
    if (gain_dot.defined()) {
      at::Tensor terms = ybardot * for_vectors(normalised_);
      if (input_moves && keeps_cotangent_) {
        terms.addcmul_(for_vectors(cotangent_), scratch[1]);
      }
      result.parameters.add(norm_.gain, sum_over_positions(terms));
    }
    if (parameter_tangents.contains(norm_.bias)) {
      result.parameters.add(norm_.bias, sum_over_positions(ybardot));
    }
    return result;
  }

 private:
  /// Views activations or tangents [..., T, H w] as rows of heads, [..., T H, w].
  at::Tensor as_rows(const at::Tensor& x) const {
    return kind_.heads == 1 ? x : x.unflatten(-1, {kind_.heads, -1}).flatten(-3, -2);
  }

  /// Views rows of heads [..., T H, w] as activations or tangents, [..., T, H w].
  at::Tensor as_activations(const at::Tensor& rows) const {
    return kind_.heads == 1 ? rows : rows.unflatten(-2, {-1, kind_.heads}).flatten(-2);
  }

  at::Tensor project(const at::Tensor& x) const { return kind_.centred ? x - x.mean(-1, true) : x; }

  /// Computes ydot from the rows of xdot.
  at::Tensor value_tangent(const at::Tensor& tangent, Scratch& scratch) const {
    const at::Tensor xdot = tangent.contiguous();
    at::Tensor ydot = at::empty_like(xdot);
    const at::Tensor ndot = at::empty_like(xdot);
    const at::Tensor a = at::empty(xdot.sizes().slice(0, 3), xdot.options());
    rows::with_type_of(xdot, [&]<class T>(T) {
      const rows::NormJvp<T> pass{values<T>(xdot, gain_), xdot.const_data_ptr<T>(), ydot.data_ptr<T>(),
                                  ndot.data_ptr<T>(), a.data_ptr<T>()};
      rows::run_over_last_axis(pass, xdot);
    });
    scratch = {a, ndot};
    return ydot;
  }

  /// Computes xbardot from cdot = gain * cotangent_tangent, both as rows.
  at::Tensor input_cotangent_tangent(const at::Tensor& cotangent_tangent, const at::Tensor& gain,
                                     const Scratch& scratch) const {
    const at::Tensor& a = scratch[0];
    const at::Tensor& ndot = scratch[1];
    const at::Tensor ybardot = cotangent_tangent.contiguous();
    at::Tensor xbardot = at::empty_like(ybardot);
    rows::with_type_of(ybardot, [&]<class T>(T) {
      const rows::NormVjpTangent<T> pass{values<T>(ybardot, gain),    scaled_cotangent_.const_data_ptr<T>(),
                                         along_.const_data_ptr<T>(),  mean_.const_data_ptr<T>(),
                                         ndot.const_data_ptr<T>(),    a.const_data_ptr<T>(),
                                         ybardot.const_data_ptr<T>(), xbardot.data_ptr<T>()};
      rows::run_over_last_axis(pass, ybardot);
    });
    return xbardot;
  }

  template <class T>
  rows::NormValues<T> values(const at::Tensor& tangent, const at::Tensor& gain) const {
    return {normalised_.const_data_ptr<T>(),
            inverse_rms_.const_data_ptr<T>(),
            gain.const_data_ptr<T>(),
            kind_.centred,
            normalised_.size(-1),
            map_of(tangent)};
  }

  LayerNorm norm_;
  Kind kind_;
  at::Tensor gain_;  // with its offset, [w]
  bool keeps_cotangent_;
  at::Tensor cotangent_;         // ybar, if keeps_cotangent_
  at::Tensor inverse_rms_;       // r, [S, T H, 1]
  at::Tensor normalised_;        // n
  at::Tensor scaled_cotangent_;  // c
  at::Tensor along_;             // m, [S, T H, 1]
  at::Tensor mean_;              // mean(c), [S, T H, 1]
};

}  // namespace

RulePtr record(const RmsNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand) {
  const NormRule::Kind kind{.centred = false, .heads = norm.heads, .gain_offset = norm.gain_offset};
  return std::make_unique<NormRule>(LayerNorm{norm.gain, "", norm.eps}, kind, inputs[0], parameters, demand);
}

RulePtr record(const LayerNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand) {
  return std::make_unique<NormRule>(norm, NormRule::Kind{.centred = true}, inputs[0], parameters, demand);
}

}  // namespace hessian::tape
