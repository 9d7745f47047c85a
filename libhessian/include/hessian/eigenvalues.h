#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "hessian/problem_seeds.h"

namespace hessian {

/// Which ends of the spectrum are sought.
enum class Ends {
  both,
  dominant,  ///< the eigenvalue of largest magnitude, at whichever end it is
  upper,     ///< the largest eigenvalue
  lower,     ///< the smallest eigenvalue
};

/// Tolerance and effort of an iterative eigensolver, and the seed of its start vectors.
struct EigensolverOptions : ProblemSeeds {
  /// Largest residual norm ||Hv - lambda v|| of a converged pair, relative to the spectral norm of its problem.
  double tolerance = 1e-3;
  Ends ends = Ends::both;
  /// Largest number of products a problem.
  int64_t max_iterations = 200;
};

/// Ends of the spectrum of S operators, on the CPU in float64 except for the vectors. An end that was not sought is NaN
/// and its vector zero.
struct ExtremalEigenvalues {
  at::Tensor lambda_max;    ///< [S]
  at::Tensor lambda_min;    ///< [S]
  at::Tensor residual_max;  ///< [S], ||Hv - lambda v|| of the pair at the upper end, from a product of its own
  at::Tensor residual_min;  ///< [S], of the pair at the lower end
  at::Tensor vector_max;    ///< [S, n], unit vectors
  at::Tensor vector_min;    ///< [S, n]
  at::Tensor iterations;  ///< [S] int32, products with the problem before it converged; those of the residuals excepted
  at::Tensor converged;   ///< [S] bool, whether the residuals sought are within tolerance * spectral norm

  /// max |lambda|, [S].
  at::Tensor spectral_norm() const;
  /// The larger of the residual norms sought, [S].
  at::Tensor residual_norm() const;
};

/// ||Hv - lambda v|| of k pairs a problem, [S, k] float64 on the CPU, from k products with the operator itself.
/// \param vectors  [S, k, n]
/// \param values   [S, k] float64 on the CPU
at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values);

/// Ends that are yet to be found: NaN, and zero vectors.
ExtremalEigenvalues unknown_ends(const LinearOperator& op);

/// Computes the residual norms of the ends sought with a product for each, and sets `converged` from them. Forgets the
/// others where a solver has found them on its way.
void verify_residuals(const LinearOperator& op, const EigensolverOptions& options, ExtremalEigenvalues& result);

/// Checks what all eigensolvers ask of their operator and options.
/// \throws std::invalid_argument
void check_eigensolver_arguments(const LinearOperator& op, const EigensolverOptions& options);

}  // namespace hessian
