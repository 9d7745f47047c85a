#pragma once

#include <memory>

#include "hessian/linear_operator.h"

namespace hessian {

using OperatorPtr = std::shared_ptr<const LinearOperator>;

/// Returns factor * H.
OperatorPtr scaled(OperatorPtr op, double factor);

/// Returns A + B.
/// \throws std::invalid_argument  if their problems, sizes, precisions or devices differ
OperatorPtr sum(OperatorPtr a, OperatorPtr b);

/// Returns H_s - shift_s I for each problem s.
/// \param shifts  [S]
OperatorPtr shifted(OperatorPtr op, const at::Tensor& shifts);

/// Returns D_s H_s D_s with diagonal D_s. With D = P^-1/2 its eigenvalues are those of P^-1 H, which decide the stability
/// of gradient descent preconditioned by P.
/// \param scale  [S, n], the diagonals
OperatorPtr rescaled(OperatorPtr op, const at::Tensor& scale);

/// Returns H_s - sum_i values_si u_si u_si^T: Hotelling's deflation, which replaces the eigenvalue of each unit eigenvector
/// u_si by zero.
/// \param vectors  [S, k, n], orthonormal within a problem
/// \param values   [S, k]
/// Source: Saad, Numerical Methods for Large Eigenvalue Problems, 2nd ed., section 4.2.
OperatorPtr deflated(OperatorPtr op, const at::Tensor& vectors, const at::Tensor& values);

/// Returns a non-owning pointer to an operator, which must outlive it.
OperatorPtr borrow(const LinearOperator& op);

}  // namespace hessian
