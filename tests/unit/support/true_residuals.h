#pragma once

#include <ATen/ATen.h>

namespace hessian::support {

/// Computes the residual norms ||Hv - lambda v|| of pairs of dense symmetric matrices in float64, [S, K].
/// \param matrices  [S, n, n]
/// \param vectors   [S, K, n]
/// \param values    [S, K]
inline at::Tensor true_residuals(const at::Tensor& matrices, const at::Tensor& vectors, const at::Tensor& values) {
  const at::Tensor v = vectors.to(at::kDouble);
  return (at::matmul(v, matrices.to(at::kDouble)) - values.unsqueeze(2) * v).norm(2, 2);
}

}  // namespace hessian::support
