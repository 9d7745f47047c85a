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

/// Tensors that one step keeps between the forward and the backward half of a tangent pass.
using Scratch = std::vector<at::Tensor>;

/// The tangents that the rules must support in addition to those of activations.
struct Demand {
  std::vector<std::string> parameters;  ///< names of the parameters that have tangents
  Curvature curvature = Curvature::hessian;

  /// Returns whether the parameter has tangents.
  bool varies(const std::string& name) const {
    return std::find(parameters.begin(), parameters.end(), name) != parameters.end();
  }
  /// Returns whether any of the parameters has tangents.
  bool varies_any(const std::vector<std::string>& names) const {
    return std::any_of(names.begin(), names.end(), [this](const std::string& name) { return varies(name); });
  }
  /// Returns whether cotangents are kept. Otherwise they are zero, so that xbardot = J^T ybardot.
  bool keeps_cotangents() const { return curvature == Curvature::hessian; }
};

/// Returns the tangent of a parameter, [k, shape], or an undefined tensor if it has none.
inline at::Tensor tangent_of(const Parameters& tangents, const std::string& name) {
  return tangents.contains(name) ? tangents.at(name) : at::Tensor();
}

/// Tangents of the cotangents that a step passes on.
struct CotangentTangents {
  std::vector<at::Tensor> inputs;  ///< xbardot of each input
  Parameters parameters;           ///< wbardot of each parameter that has a tangent, [k, shape]
};

/// One primitive at one point: its value, its derivative, and the tangents of both. A Hessian-vector product needs
/// nothing else of a primitive.
///
/// With y = f(x), the cotangent ybar of y gives xbar = J(x)^T ybar. Along a direction xdot, ydot = J xdot, and the
/// tangent of the cotangent is xbardot = J^T ybardot + (dJ/dx xdot)^T ybar. Values and cotangents are [S, T, width];
/// tangents have an additional axis for the k vectors after the sequences, [S, k, T, width].
///
/// jvp() and vjp_tangent() treat the parameters w as constants. For steps with parameters that have tangents wdot,
/// [k, shape] and the same for all sequences, parametric_jvp() and parametric_vjp_tangent() add dy/dw wdot to ydot and
/// (dJ/dw wdot)^T ybar to xbardot, and also give wbardot, the tangent of wbar = (dy/dw)^T ybar summed over the sequences.
/// Source: Griewank & Walther, Evaluating Derivatives, 2nd ed., section 3.4 (adjoints of tangents).
class Rule {
 public:
  virtual ~Rule() = default;

  /// Returns y and releases it, unless the rule needs it itself. May be called once.
  at::Tensor take_value() { return std::move(value_); }

  /// Returns xbar for each input from ybar. Called once, before vjp_tangent() and, for a CrossEntropyHead, before jvp().
  virtual std::vector<at::Tensor> vjp(const at::Tensor& cotangent) = 0;

  /// Returns ydot from xdot of each input. The tangent of an input that is not an activation is undefined.
  virtual at::Tensor jvp(std::span<const at::Tensor> tangents, Scratch& scratch) const = 0;

  /// Returns xbardot for each input from ybardot. `scratch` must be as jvp() left it.
  virtual std::vector<at::Tensor> vjp_tangent(const at::Tensor& cotangent_tangent, Scratch& scratch) const = 0;

  /// Returns ydot from xdot of each input and wdot of the parameters that have tangents, by name. The tangent of an
  /// input that has none is undefined; parametric_vjp_tangent() then need not compute its xbardot. Called only for
  /// steps with at least one parameter that has a tangent.
  virtual at::Tensor parametric_jvp(std::span<const at::Tensor> tangents, const Parameters& parameter_tangents,
                                    Scratch& scratch) const;

  /// Returns xbardot and wbardot from ybardot, after parametric_jvp().
  virtual CotangentTangents parametric_vjp_tangent(const at::Tensor& cotangent_tangent,
                                                   const Parameters& parameter_tangents, Scratch& scratch) const;

 protected:
  Rule() = default;
  Rule(const Rule&) = default;
  Rule& operator=(const Rule&) = default;

  at::Tensor value_;
};

using RulePtr = std::unique_ptr<Rule>;

// Each overload computes the primitive's value, in the precision of the inputs. Weights of matrix products may be
// bfloat16; see products.h.
RulePtr record(const Linear& linear, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const RmsNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const LayerNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const Rope& rope, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const CausalAttention& attention, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const SiluGate& gate, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const GeluGate& gate, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Gelu& gelu, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Scale& scale, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const SoftCap& cap, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Add& add, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Identity& identity, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Embedding& embedding, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const AddPositions& positions, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);
RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters,
               const Demand& demand);

/// Records attention whose tangents are computed tile by tile (CPU only) or as batched products of whole heads.
RulePtr record_attention(const CausalAttention& attention, std::span<const at::Tensor> inputs, bool tiled);

/// Limits of the memory of a CrossEntropyHead.
struct CrossEntropyLimits {
  int64_t max_logits = int64_t{1} << 22;         ///< logits, or entries of their tangents, that exist at once
  int64_t max_probabilities = int64_t{1} << 26;  ///< probabilities that are kept; more are recomputed for each product
};

/// Records a CrossEntropyHead that stays within these limits.
RulePtr record_cross_entropy(const CrossEntropyHead& head, std::span<const at::Tensor> inputs,
                             const Parameters& parameters, const Demand& demand, const CrossEntropyLimits& limits);

/// Records any primitive.
/// \throws std::invalid_argument  for an Embedding whose table does not vary: token ids have no tangents
RulePtr record_operation(const Operation& operation, std::span<const at::Tensor> inputs, const Parameters& parameters,
                         const Demand& demand = {});

/// Returns a value or cotangent broadcast over the k vectors, [S, 1, T, width].
inline at::Tensor for_vectors(const at::Tensor& x) {
  return x.unsqueeze(1);
}

/// Returns a parameter's tangents [k, width] broadcast over sequences and positions, [1, k, 1, width].
inline at::Tensor for_positions(const at::Tensor& parameter_tangents) {
  return parameter_tangents.unsqueeze(1).unsqueeze(0);
}

/// Sums a tangent [S, k, T, width] over sequences and positions, [k, width].
inline at::Tensor sum_over_positions(const at::Tensor& tangent) {
  return tangent.sum(at::IntArrayRef{0, 2});
}

/// Returns the map from the rows of a tangent [S, k, T, width] to the rows of its value.
inline rows::RowMap map_of(const at::Tensor& tangent) {
  return {tangent.size(1), tangent.size(2)};
}

}  // namespace hessian::tape
