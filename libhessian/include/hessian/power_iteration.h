#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct PowerIterationOptions {
  /// Largest residual norm ||Hv - lambda v|| of a converged pair, relative to the spectral norm of its problem.
  double tolerance = 1e-3;
  Ends ends = Ends::both;
  /// Largest number of products per pair.
  int64_t max_iterations = 200;
  /// Seeds of the start vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Computes the extremal eigenvalues of S independent symmetric operators at once by power iteration: a simple method
/// for checking the results of lanczos(), at the cost of more products.
///
/// The dominant pair comes first. Unless Ends::dominant is requested, the dominant pair of H - lambda I then gives the other
/// end; `iterations` counts both. Eigenvalues are Rayleigh quotients and so carry their sign. A problem leaves the batch when
/// it has converged, or when a product is not finite; then its numbers are NaN. Convergence depends on the ratio of the two
/// largest magnitudes: if |lambda_max| and |lambda_min| are close, as is common for indefinite Hessians, the iteration stalls
/// and the result is marked as not converged.
///
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: one product per iteration, and one per residual; memory 8 S n scalars.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., section 8.2.
ExtremalEigenvalues power_extremes(const LinearOperator& op, const PowerIterationOptions& options = {});

}  // namespace hessian
