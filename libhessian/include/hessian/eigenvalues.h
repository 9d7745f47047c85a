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

/// How an eigensolver proves that it has not missed an eigenvalue: a small residual norm says only that some eigenvalue is
/// near, not that it is the extreme one. See docs/math.md, "Certified norms".
struct CertificateOptions {
  /// Largest distance of an eigenvalue from its bound with which it counts as converged, relative to the spectral norm.
  /// 0: no certificate, so that residual norms alone decide.
  double certify = 0.01;
  /// Probability with which all bounds of the problems hold together. It is over the random start vectors, for whatever
  /// operator.
  double confidence = 0.999;
  /// Number of problems whose bounds hold together, if this call solves only some of them. 0: those of the operator.
  int64_t joint_problems = 0;
  /// Relative error of the operator's products, below which `certify` is refused. 0: 1e-5 if vectors are float32, 1e-12 if
  /// they are float64.
  double product_error = 0;
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
  /// [S] bool, whether all requested residuals are within tolerance * spectral norm and all bounds within certify * spectral
  /// norm. Of solvers without a certificate, or with `certify` 0, the residuals alone.
  at::Tensor converged;
  at::Tensor lambda_max_upper = {};  ///< [S], upper bound of lambda_max; NaN without a certificate, or with Ends::lower
  at::Tensor lambda_min_lower = {};  ///< [S], lower bound of lambda_min; NaN without a certificate, or with Ends::upper
  /// [S], ||V^T H V - (V^T H V)^T||_F over the basis vectors V: how far the products are from those of a symmetric operator,
  /// in the units of H. NaN of solvers other than lanczos().
  at::Tensor asymmetry = {};

  /// Returns an upper bound of max |lambda|, [S]: NaN if a bound is.
  at::Tensor norm_upper() const;
  /// Returns max |lambda|, [S].
  at::Tensor spectral_norm() const;
  /// Returns the larger of the requested residual norms, [S].
  at::Tensor residual_norm() const;
};

/// Computes ||Hv - lambda v|| of k pairs per problem, [S, k] float64 on the CPU, with k products per problem.
/// \param vectors  [S, k, n]
/// \param values   [S, k] float64 on the CPU
/// \param at_once  number of vectors that one call of the operator multiplies with each problem
at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values,
                          int64_t at_once = 1);

}  // namespace hessian
