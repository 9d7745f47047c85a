#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <vector>

namespace hessian {

/// Indices of some problems of an operator, in any order, without repetition.
using ProblemIndices = std::vector<int64_t>;

/// 0, 1, ..., count - 1.
ProblemIndices all_problems(int64_t count);

/// The rows of a tensor [S, ...] that belong to the problems listed.
at::Tensor rows_of(const at::Tensor& all, const ProblemIndices& problems);

/// S independent square linear maps of one size, H_1 ... H_S: a block-diagonal operator that is applied to all of its
/// problems, or to some, at once.
class LinearOperator {
 public:
  virtual ~LinearOperator() = default;

  /// Number of problems S.
  virtual int64_t problems() const = 0;
  /// Size n of one problem.
  virtual int64_t dim() const = 0;
  /// Precision and device of the vectors that apply() takes and gives.
  virtual at::TensorOptions vector_options() const = 0;

  /// Products of every problem with k vectors each.
  /// \param v  [S, k, n]
  /// \return   [S, k, n]
  /// \throws std::invalid_argument  for another shape, precision or device
  at::Tensor apply(const at::Tensor& v) const;

  /// Products of the problems listed.
  /// \param v  [problems.size(), k, n], in the order of `problems`
  /// \return   the same shape
  /// \throws std::invalid_argument  for another shape, or for a problem out of range
  at::Tensor apply(const at::Tensor& v, const ProblemIndices& problems) const;

 protected:
  LinearOperator() = default;
  LinearOperator(const LinearOperator&) = default;
  LinearOperator& operator=(const LinearOperator&) = default;

 private:
  virtual at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const = 0;
};

}  // namespace hessian
