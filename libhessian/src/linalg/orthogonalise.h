#pragma once

#include <ATen/ATen.h>

namespace hessian {

/// Rows w = V^T coefficients + rest, with the rest orthogonal to the basis V.
struct Orthogonalised {
  at::Tensor rest;          ///< [A, k, n]
  at::Tensor coefficients;  ///< [A, k, m]
};

/// The part of each row that is orthogonal to the basis of its problem, if not to the other rows, by classical Gram-Schmidt twice: as good as
/// modified Gram-Schmidt, and it runs as matrix products (Giraud et al. 2005).
/// \param basis  [A, m, n], orthonormal within a problem; rows of zeros do no harm
/// \param w      [A, k, n]
Orthogonalised orthogonalise(const at::Tensor& basis, const at::Tensor& w);

/// Below this, relative to the vector that it was left of, a rest is rounding error: 10 epsilon of the precision.
double rounding_level(const at::TensorOptions& options);

}  // namespace hessian
