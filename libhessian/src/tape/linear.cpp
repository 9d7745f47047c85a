#include <utility>

#include "kernels/products.h"
#include "tape/rule.h"

namespace hessian::tape {
namespace {

/// The rule of y = x W^T + b, with xbar = ybar W. Both are linear, so their tangents are the same products. With
/// tangents of the parameters
///   ydot = xdot W^T + x Wdot^T + bdot      xbardot = ybardot W + ybar Wdot
///   Wbardot = ybardot^T x + ybar^T xdot    bbardot = sum(ybardot)
class LinearRule final : public Rule {
 public:
  LinearRule(const Linear& linear, const at::Tensor& x, const Parameters& parameters, const Demand& demand)
      : linear_(linear),
        weight_(parameters.at(linear.weight)),
        has_cotangents_(demand.keeps_cotangents()),
        keeps_cotangent_(demand.varies(linear.weight) && has_cotangents_),
        rows_(x.sizes().slice(0, 2).vec()) {
    value_ = times_transposed(x, weight_);
    if (!linear.bias.empty()) {
      value_ = value_ + parameters.at(linear.bias).to(x.scalar_type());
    }
    if (demand.varies(linear.weight)) {
      x_ = x;
    }
  }

  std::vector<at::Tensor> vjp(const at::Tensor& cotangent) override {
    if (keeps_cotangent_) {
      cotangent_ = cotangent;
    }
    if (!has_cotangents_) {
      return {at::zeros({}, weight_.options()).expand({rows_[0], rows_[1], weight_.size(1)})};
    }
    return {times(cotangent, weight_)};
  }

  at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& /*scratch*/) const override {
    return times_transposed(tangents[0], weight_);
  }

  std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& /*scratch*/) const override {
    return {times(cotangent_tangent, weight_)};
  }

  at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, const Parameters& parameter_tangents,
                            Scratch& scratch) const override {
    const at::Tensor& xdot = tangents[0];
    const at::Tensor weight_dot = tangent_of(parameter_tangents, linear_.weight);
    const at::Tensor bias_dot = tangent_of(parameter_tangents, linear_.bias);
    scratch = {xdot};
    at::Tensor ydot = xdot.defined() ? times_transposed(xdot, weight_) : at::Tensor();
    if (weight_dot.defined()) {
      const at::Tensor term = times_each_transposed(x_, weight_dot);
      ydot = ydot.defined() ? ydot.add_(term) : term;
    }
    if (bias_dot.defined()) {
      ydot = ydot.defined() ? ydot.add_(for_positions(bias_dot)) : repeated(bias_dot);
    }
    return ydot;
  }

  CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent, const Parameters& parameter_tangents,
                                           Scratch& scratch) const override {
    const at::Tensor& xdot = scratch[0];
    const at::Tensor weight_dot = tangent_of(parameter_tangents, linear_.weight);
    CotangentTangents result{{at::Tensor()}, {}};
    if (xdot.defined()) {
      result.inputs[0] = times(cotangent_tangent, weight_);
      if (keeps_cotangent_) {
        result.inputs[0].add_(times_each(cotangent_, weight_dot));
      }
    }
    if (weight_dot.defined()) {
      const at::Tensor sums = summed_products(cotangent_tangent, x_);
      if (keeps_cotangent_ && xdot.defined()) {
        add_summed_products_with_each(sums, cotangent_, xdot);
      }
      result.parameters.add(linear_.weight, sums);
    }
    if (parameter_tangents.contains(linear_.bias)) {
      result.parameters.add(linear_.bias, sum_over_positions(cotangent_tangent));
    }
    return result;
  }

 private:
  /// Returns the tangents of the bias for every sequence and position, [S, k, T, out].
  at::Tensor repeated(const at::Tensor& bias_dot) const {
    return for_positions(bias_dot).expand({rows_[0], bias_dot.size(0), rows_[1], bias_dot.size(1)});
  }

  Linear linear_;
  at::Tensor weight_;
  bool has_cotangents_;  // otherwise they are zero
  bool keeps_cotangent_;
  std::vector<int64_t> rows_;  // S, T
  at::Tensor x_;               // if the weight varies
  at::Tensor cotangent_;       // ybar, if keeps_cotangent_
};

}  // namespace

RulePtr record(const Linear& linear, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand) {
  return std::make_unique<LinearRule>(linear, inputs[0], parameters, demand);
}

}  // namespace hessian::tape
