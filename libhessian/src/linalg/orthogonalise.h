#pragma once

#include <ATen/ATen.h>

namespace hessian {

/// Rows w = V^T coefficients + remainder, with the remainder orthogonal to the basis V.
struct Orthogonalised {
  at::Tensor remainder;     ///< [A, k, n]
  at::Tensor coefficients;  ///< [A, k, m]
};

/// Splits each row into its projection on the basis of its problem and an orthogonal remainder. Rows are not
/// orthogonalised against each other. Uses classical Gram-Schmidt twice, which is as accurate as modified Gram-Schmidt and
/// runs as matrix products (Giraud et al. 2005).
/// \param basis  [A, m, n], orthonormal within a problem; rows may be zero
/// \param w      [A, k, n]
Orthogonalised orthogonalise(const at::Tensor& basis, const at::Tensor& w);

/// Relative threshold below which the remainder of a projection is treated as rounding error: 10 epsilon of the precision.
double rounding_level(const at::TensorOptions& options);

}  // namespace hessian
