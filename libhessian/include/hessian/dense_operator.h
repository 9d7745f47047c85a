#pragma once

#include "hessian/linear_operator.h"

namespace hessian {

/// S matrices stored in full, for tests and small problems.
class DenseOperator final : public LinearOperator {
 public:
  /// \param matrices  [S, n, n]
  /// \throws std::invalid_argument  for any other shape
  explicit DenseOperator(at::Tensor matrices);

  int64_t problems() const override { return matrices_.size(0); }
  int64_t dim() const override { return matrices_.size(1); }
  at::TensorOptions vector_options() const override { return matrices_.options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;

  at::Tensor matrices_;
};

/// Returns the matrices of an operator, [S, n, n], from its products with the identity.
/// Cost: n products per problem, `columns_at_once` per call; memory S n^2 scalars.
at::Tensor to_dense(const LinearOperator& op, int64_t columns_at_once = 64);

}  // namespace hessian
