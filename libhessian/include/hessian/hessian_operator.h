#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "hessian/linear_operator.h"

namespace hessian {

/// Evaluates any subset of S independent scalar functions f_1 ... f_S in one call.
///
/// Takes x, [problems.size(), ...], and the problems that its rows belong to; returns one value per row,
/// [problems.size()]. Row s of the result must depend only on row s of x. The function is called with autograd
/// recording, and the backward of each of its operations must itself be differentiable.
using ProblemFunction = std::function<at::Tensor(const at::Tensor& x, const ProblemIndices& problems)>;

/// A function that is the same for all problems: takes x, [s, ...], and returns [s].
template <class F>
concept RowFunction = std::is_invocable_r_v<at::Tensor, F&, const at::Tensor&> &&
    !std::is_invocable_v<F&, const at::Tensor&, const ProblemIndices&>;

struct ValueAndGradient {
  at::Tensor value;     ///< f_s(x_s), [problems.size()], detached
  at::Tensor gradient;  ///< the shape of x, detached
};

/// Computes values and gradients of the problems listed. Cost: one forward and one backward pass.
ValueAndGradient value_and_gradient(const ProblemFunction& f, const at::Tensor& x, const ProblemIndices& problems);

struct HessianOptions {
  /// Memory limit in bytes for the recorded graphs and the temporaries of a product; absent: unlimited. The memory of
  /// one problem is measured to find how many problems fit.
  std::optional<int64_t> memory_bytes = {};
  /// Number of problems per graph, if known in advance; overrides memory_bytes.
  std::optional<int64_t> problems_per_graph = {};
};

/// The Hessians d2 f_s / dx_s2 of S functions at one point: S problems on the flattened entries of the rows of x. For the
/// Hessian of one scalar with respect to a model's parameters see hessian_of().
///
/// Products are reverse over reverse: the gradient is computed once and its graph kept, and each product differentiates
/// <gradient, v>. If the graphs of all problems exceed the memory limit, products process the problems in groups and
/// record the graph of each group again; to solve an eigenproblem in little memory, make one operator per group instead
/// (see problems_per_graph()). If a solver requests a subset of the problems, the graph is recorded again for that
/// subset as soon as this saves work.
///
/// Not safe for use from two threads at once: products share the graph.
/// Cost: a product is about 1.5 to 2.5 gradients; k vectors are k products. Memory: the graph of the forward and backward
/// pass.
/// Source: Pearlmutter (1994), Fast exact multiplication by the Hessian.
class HessianOperator final : public LinearOperator {
 public:
  /// \param f  the functions
  /// \param x  [S, ...], the point; its precision is that of the products
  /// \throws std::invalid_argument  if x is empty or not floating point
  /// \throws std::runtime_error     if a single problem exceeds options.memory_bytes, saying how much it needs
  HessianOperator(ProblemFunction f, const at::Tensor& x, const HessianOptions& options = {});
  /// Makes the operator of a function that is the same for all problems.
  template <RowFunction F>
  HessianOperator(F f, const at::Tensor& x, const HessianOptions& options = {})
      : HessianOperator(ProblemFunction([f = std::move(f)](const at::Tensor& rows,
                                                           const ProblemIndices& /*problems*/) mutable -> at::Tensor {
                          return f(rows);
                        }),
                        x, options) {}
  ~HessianOperator() override;

  int64_t problems() const override { return x_.size(0); }
  int64_t dim() const override { return x_.numel() / x_.size(0); }
  at::TensorOptions vector_options() const override { return x_.options(); }

  /// Returns the number of problems that share one graph.
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

/// Measures the peak memory in bytes of the graph of one problem (the first) and one product with it.
int64_t measure_problem_bytes(const ProblemFunction& f, const at::Tensor& x);

}  // namespace hessian
