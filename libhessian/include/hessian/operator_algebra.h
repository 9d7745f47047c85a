#pragma once

#include <memory>

#include "hessian/linear_operator.h"

namespace hessian {

using OperatorPtr = std::shared_ptr<const LinearOperator>;

/// factor * H.
OperatorPtr scaled(OperatorPtr op, double factor);

/// A + B.
/// \throws std::invalid_argument  if their problems, sizes, precisions or devices differ
OperatorPtr sum(OperatorPtr a, OperatorPtr b);

/// H_s - shift_s I for each problem s.
/// \param shifts  [S]
OperatorPtr shifted(OperatorPtr op, const at::Tensor& shifts);

/// D_s H_s D_s with the diagonal D_s: for D = P^-1/2 the operator that gradient descent sees when P preconditions it.
/// \param scale  [S, n], the diagonals
OperatorPtr rescaled(OperatorPtr op, const at::Tensor& scale);

/// H_s - sum_i values_si u_si u_si^T: Hotelling's deflation, which moves the eigenvalue of each unit eigenvector u_si
/// to zero.
/// \param vectors  [S, k, n], orthonormal within a problem
/// \param values   [S, k]
/// Source: Saad, Numerical Methods for Large Eigenvalue Problems, 2nd ed., section 4.2.
OperatorPtr deflated(OperatorPtr op, const at::Tensor& vectors, const at::Tensor& values);

/// An operator that someone else owns, as a pointer that does not own it.
OperatorPtr borrow(const LinearOperator& op);

}  // namespace hessian
