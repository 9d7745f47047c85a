#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace hessian {

/// Indices of a subset of an operator's problems, in any order, without repetition.
using ProblemIndices = std::vector<int64_t>;

/// Returns the indices 0, 1, ..., count - 1.
ProblemIndices all_problems(int64_t count);

/// Returns the rows of a tensor [S, ...] that belong to the problems listed, in their order.
at::Tensor rows_of(const at::Tensor& all, const ProblemIndices& problems);

/// S independent square linear maps of one size, H_1 ... H_S, that are applied to vectors in one call.
///
/// Everything that this library analyses is such an operator: eigensolvers and estimators need only products with
/// vectors, so that matrices, Hessians and stencils are handled alike. The maps ("problems") are batched because one
/// evaluation of a model serves many of them, for example the sequences of a batch, whose losses do not interact. A
/// solver may request products of only those problems that have not converged yet.
///
/// To add an operator, derive from this class and implement problems(), dim(), vector_options() and do_apply(): see
/// examples/custom_operator.cpp.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;

  /// Returns the number of problems S.
  virtual int64_t problems() const = 0;
  /// Returns the size n of each problem.
  virtual int64_t dim() const = 0;
  /// Returns the precision and device of the vectors that apply() takes and returns.
  virtual at::TensorOptions vector_options() const = 0;

  /// Multiplies every problem with k vectors.
  /// \param v  [S, k, n]
  /// \return   [S, k, n]
  /// \throws std::invalid_argument  if the shape, precision or device differ
  at::Tensor apply(const at::Tensor& v) const;

  /// Multiplies the problems listed with k vectors each.
  /// \param v  [problems.size(), k, n], in the order of `problems`
  /// \return   the same shape
  /// \throws std::invalid_argument  if the shape, precision or device differ, or a problem is out of range
  at::Tensor apply(const at::Tensor& v, const ProblemIndices& problems) const;

 protected:
  LinearOperator() = default;
  LinearOperator(const LinearOperator&) = default;
  LinearOperator& operator=(const LinearOperator&) = default;

 private:
  /// Computes the products; the arguments have been checked.
  virtual at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const = 0;
};

}  // namespace hessian
