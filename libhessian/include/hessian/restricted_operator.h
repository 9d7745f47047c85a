#pragma once

#include "hessian/operator_algebra.h"

namespace hessian {

/// The principal submatrix of each problem on a range of m consecutive coordinates, such as the entries of one position
/// of a sequence: E_s^T H_s E_s, where E_s consists of the corresponding columns of the identity.
class RestrictedOperator final : public LinearOperator {
 public:
  /// \param starts  first coordinate of each problem's range
  /// \param length  m, the number of coordinates
  /// \throws std::invalid_argument  if a range exceeds the coordinates, or the number of ranges is not the number of
  ///                                problems
  RestrictedOperator(OperatorPtr op, std::vector<int64_t> starts, int64_t length);

  int64_t problems() const override { return op_->problems(); }
  int64_t dim() const override { return length_; }
  at::TensorOptions vector_options() const override { return op_->vector_options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;

  OperatorPtr op_;
  std::vector<int64_t> starts_;
  int64_t length_;
};

}  // namespace hessian
