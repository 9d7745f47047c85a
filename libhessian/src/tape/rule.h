#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "hessian/curvature.h"
#include "hessian/parameters.h"
#include "hessian/program.h"
#include "kernels/rows/row_function.h"
#include "kernels/rows/run_rows.h"

namespace hessian::tape {

/// What a sweep keeps of one step between its way forward and its way back.
using Scratch = std::vector<at::Tensor>;

/// What rules provide for beside tangents of activations.
struct Demand {
  std::vector<std::string> parameters;  ///< names of those that have tangents too
  Curvature curvature = Curvature::hessian;

  bool varies(const std::string& name) const {
    return std::find(parameters.begin(), parameters.end(), name) != parameters.end();
  }
  /// Whether cotangents are kept; otherwise they are zero, so that xbardot = J^T ybardot.
  bool keeps_cotangents() const { return curvature == Curvature::hessian; }
};

/// Tangents of cotangents that a step gives back.
struct CotangentTangents {
  std::vector<at::Tensor> inputs;      ///< xbardot for each input
  std::vector<at::Tensor> parameters;  ///< wbardot for each parameter, [k, shape]; undefined where it has no tangent
};

/// One primitive at one point: its value, its derivative, and the tangents of both, which is all that a Hessian-vector
/// product asks of it.
///
/// With y = f(x), the cotangent ybar of y gives xbar = J(x)^T ybar. Along a direction xdot, ydot = J xdot, and the
/// tangent of the cotangent is xbardot = J^T ybardot + (dJ/dx xdot)^T ybar. Values and cotangents are [S, T, width];
/// tangents have the axis of the k vectors behind that of the sequences, [S, k, T, width].
///
/// Parameters w are constants to jvp and vjp_tangent. Where some have tangents wdot, [k, shape] for all sequences alike,
/// the parametric twins of these add dy/dw wdot to ydot and (dJ/dw wdot)^T ybar to xbardot, and give wbardot, the tangent
/// of wbar = (dy/dw)^T ybar summed over the sequences.
/// Source: Griewank & Walther, Evaluating Derivatives, 2nd ed., section 3.4 (adjoints of tangents).
class Rule {
 public:
  virtual ~Rule() = default;

  /// y, which the rule keeps only if it needs it; to be called once.
  at::Tensor take_value() { return std::move(value_); }

  /// xbar for each input, from ybar. Called once, before any tangent.
  virtual std::vector<at::Tensor> vjp(const at::Tensor& cotangent) = 0;

  /// ydot, from xdot for each input. An input that is no activation has an undefined tangent.
  virtual at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const = 0;

  /// xbardot for each input, from ybardot; `scratch` is what jvp left there.
  virtual std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const = 0;

  /// ydot, from xdot and from wdot for each parameter in the order of parameter_names(). Either is undefined where an
  /// input or a parameter has no tangent, and then it is asked for nothing on the way back. For steps alone of which a
  /// parameter is in demand.
  virtual at::Tensor parametric_jvp(std::span<const at::Tensor> tangents,
                                    std::span<const at::Tensor> parameter_tangents, Scratch& scratch) const;

  /// xbardot and wbardot, from ybardot, after parametric_jvp.
  virtual CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent,
                                                   std::span<const at::Tensor> parameter_tangents,
                                                   Scratch& scratch) const;

 protected:
  Rule() = default;
  Rule(const Rule&) = default;
  Rule& operator=(const Rule&) = default;

  at::Tensor value_;
};

using RulePtr = std::unique_ptr<Rule>;

// Each computes the primitive's value, in the precision of the inputs. Weights of products may be bfloat16; see
// products.h.
RulePtr record(const Linear& linear, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const RmsNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const LayerNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const Rope& rope, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const CausalAttention& attention, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const SiluGate& gate, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Gelu& gelu, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Add& add, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Identity& identity, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Embedding& embedding, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const AddPositions& positions, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);

/// Attention whose tangents are computed tile by tile, which takes the CPU, or as batched products of whole heads.
RulePtr record_attention(const CausalAttention& attention, std::span<const at::Tensor> inputs, bool tiled);

/// The rule of whatever primitive it is.
/// \throws std::invalid_argument  for an Embedding whose table is not in demand: token ids have no tangents
RulePtr record_operation(const Operation& operation, std::span<const at::Tensor> inputs, const Parameters& parameters,
                         const Demand& demand = {});

/// A value or cotangent as the k vectors see it: [S, 1, T, width].
inline at::Tensor for_vectors(const at::Tensor& x) {
  return x.unsqueeze(1);
}

/// A parameter's tangents [k, width] as the tangents of activations see them: [1, k, 1, width].
inline at::Tensor for_positions(const at::Tensor& parameter_tangents) {
  return parameter_tangents.unsqueeze(1).unsqueeze(0);
}

/// The sum of a tangent [S, k, T, width] over sequences and positions, [k, width].
inline at::Tensor sum_over_positions(const at::Tensor& tangent) {
  return tangent.sum(at::IntArrayRef{0, 2});
}

/// Which rows of a value the rows of a tangent [S, k, T, width] belong to.
inline rows::RowMap map_of(const at::Tensor& tangent) {
  return {tangent.size(1), tangent.size(2)};
}

}  // namespace hessian::tape
