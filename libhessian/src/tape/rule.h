#pragma once

#include <ATen/ATen.h>

#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "hessian/parameters.h"
#include "hessian/program.h"
#include "rows/row_function.h"
#include "rows/run_rows.h"

namespace hessian::tape {

/// What a sweep keeps of one step between its way forward and its way back.
using Scratch = std::vector<at::Tensor>;

/// One primitive at one point: its value, its derivative, and the tangents of both, which is all that a Hessian-vector
/// product asks of it.
///
/// With y = f(x), the cotangent ybar of y gives xbar = J(x)^T ybar. Along a direction xdot, ydot = J xdot, and the
/// tangent of the cotangent is xbardot = J^T ybardot + (dJ/dx xdot)^T ybar. Values and cotangents are [S, T, width];
/// tangents have the axis of the k vectors behind that of the sequences, [S, k, T, width]. Weights are constants.
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

 protected:
  Rule() = default;
  Rule(const Rule&) = default;
  Rule& operator=(const Rule&) = default;

  at::Tensor value_;
};

using RulePtr = std::unique_ptr<Rule>;

// Each computes the primitive's value, in the precision of the inputs. Weights of products may be bfloat16; see
// products.h.
RulePtr record(const Linear& linear, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const RmsNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const LayerNorm& norm, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Rope& rope, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const CausalAttention& attention, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const SiluGate& gate, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Gelu& gelu, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Add& add, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const Identity& identity, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const AddPositions& positions, std::span<const at::Tensor> inputs, const Parameters& parameters);
RulePtr record(const CrossEntropyHead& head, std::span<const at::Tensor> inputs, const Parameters& parameters);

/// Attention whose tangents are computed tile by tile, which takes the CPU, or as batched products of whole heads.
RulePtr record_attention(const CausalAttention& attention, std::span<const at::Tensor> inputs, bool tiled);

/// The rule of whatever primitive it is.
/// \throws std::invalid_argument  for Embedding: token ids have no tangents
RulePtr record_operation(const Operation& operation, std::span<const at::Tensor> inputs, const Parameters& parameters);

/// A value or cotangent as the k vectors see it: [S, 1, T, width].
inline at::Tensor for_vectors(const at::Tensor& x) {
  return x.unsqueeze(1);
}

/// Which rows of a value the rows of a tangent [S, k, T, width] belong to.
inline rows::RowMap map_of(const at::Tensor& tangent) {
  return {tangent.size(1), tangent.size(2)};
}

}  // namespace hessian::tape
