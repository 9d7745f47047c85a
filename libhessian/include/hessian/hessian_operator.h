#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "hessian/linear_operator.h"

namespace hessian {

/// S independent scalar functions, f_1 ... f_S, evaluated for some of them at once.
///
/// Takes x, [problems.size(), ...], and the problems that its rows belong to; gives one value for each row,
/// [problems.size()]. Row s of the result may depend on row s of x alone. It is called with autograd recording, and must
/// be built from operators whose backward can be differentiated.
using ProblemFunction = std::function<at::Tensor(const at::Tensor& x, const ProblemIndices& problems)>;

/// Values f_s(x_s), [S].
struct ValueAndGradient {
  at::Tensor value;     ///< [s], detached
  at::Tensor gradient;  ///< the shape of x, detached
};

/// Values and gradients of the problems listed. Cost: one forward and one backward pass.
ValueAndGradient value_and_gradient(const ProblemFunction& f, const at::Tensor& x, const ProblemIndices& problems);

struct HessianOptions {
  /// Bytes that the recorded graphs and the work of a product may take; no limit if absent. One problem is measured to
  /// find how many fit.
  std::optional<int64_t> memory_bytes;
  /// How many problems share one graph, where that is known already; it wins over memory_bytes.
  std::optional<int64_t> problems_per_graph;
};

/// The Hessians d2 f_s / dx_s2 of S functions at one point: a block-diagonal operator on the flattened entries of x.
///
/// Products are reverse over reverse: the gradient is computed once and its graph kept, and each product differentiates
/// <gradient, v>. Where the graphs of all problems do not fit into the memory allowed, the problems are taken in groups,
/// and the graph of each group is recorded anew for each product: to solve an eigenproblem in little memory, make one
/// operator for each group instead (see problems_per_graph()). If only some problems are asked for, the graph is recorded
/// again for those alone as soon as that saves work.
///
/// Not safe for use from two threads at once: products share the graph.
/// Cost: one product is about 1.5 to 2.5 gradients; k vectors are k products. Memory: the graph of forward and backward
/// pass. Source: Pearlmutter (1994), Fast exact multiplication by the Hessian.
class HessianOperator final : public LinearOperator {
 public:
  /// \param f  the functions
  /// \param x  [S, ...], the point; its precision is that of the products
  /// \throws std::invalid_argument  if x is empty or not floating point
  /// \throws std::runtime_error     if one problem alone needs more than options.memory_bytes, saying how much
  HessianOperator(ProblemFunction f, const at::Tensor& x, const HessianOptions& options = {});
  ~HessianOperator() override;

  int64_t problems() const override { return x_.size(0); }
  int64_t dim() const override { return x_.numel() / x_.size(0); }
  at::TensorOptions vector_options() const override { return x_.options(); }

  /// How many problems share one graph.
  int64_t problems_per_graph() const { return problems_per_graph_; }

 private:
  struct Graph;
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;
  at::Tensor apply_group(const at::Tensor& v, const ProblemIndices& problems) const;

  ProblemFunction f_;
  at::Tensor x_;
  int64_t problems_per_graph_ = 1;
  mutable std::unique_ptr<Graph> graph_;
};

/// Bytes that the graph of one problem (the first) and one product with it take at their peak.
int64_t measure_problem_bytes(const ProblemFunction& f, const at::Tensor& x);

}  // namespace hessian
