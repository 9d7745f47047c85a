#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "hessian/problem_seeds.h"

namespace hessian {

/// Ends of the spectrum to compute.
enum class Ends {
  both,
  dominant,  ///< the eigenvalue of largest magnitude, at whichever end it lies
  upper,     ///< the largest eigenvalue
  lower,     ///< the smallest eigenvalue
};

/// Ends of the spectra of S operators, on the CPU in float64 except for the vectors. An end that was not requested is NaN and
/// its vector zero. A problem whose products are not finite has NaN throughout and has not converged.
struct ExtremalEigenvalues {
  at::Tensor lambda_max;    ///< [S]
  at::Tensor lambda_min;    ///< [S]
  at::Tensor residual_max;  ///< [S], ||Hv - lambda v|| of the upper pair, computed with a separate product
  at::Tensor residual_min;  ///< [S], of the lower pair
  at::Tensor vector_max;    ///< [S, n], unit vectors
  at::Tensor vector_min;    ///< [S, n]
  at::Tensor iterations;    ///< [S] int32, products per problem until it stopped, without those for the residuals
  at::Tensor converged;     ///< [S] bool, whether all requested residuals are within tolerance * spectral norm

  /// Returns max |lambda|, [S].
  at::Tensor spectral_norm() const;
  /// Returns the larger of the requested residual norms, [S].
  at::Tensor residual_norm() const;
};

/// Computes ||Hv - lambda v|| of k pairs per problem, [S, k] float64 on the CPU, with k products per problem.
/// \param vectors  [S, k, n]
/// \param values   [S, k] float64 on the CPU
at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values);

}  // namespace hessian
