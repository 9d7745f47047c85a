#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct LanczosOptions {
  /// Largest residual norm ||Hv - lambda v|| of a converged pair, relative to the spectral norm of its problem.
  double tolerance = 1e-3;
  Ends ends = Ends::both;
  CertificateOptions certificate = {};
  /// Largest number of products per problem.
  int64_t max_iterations = 200;
  /// Number of basis vectors stored per problem; when they are used up, the iteration restarts from the best Ritz vectors. At
  /// least 8, or n if that is smaller.
  int64_t max_basis = 64;
  /// Number of vectors that one call of the operator multiplies with each problem to verify residuals: with 2, both ends are
  /// verified together, after the basis has been released.
  int64_t verified_at_once = 2;
  /// Seeds of the start vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Computes the extremal eigenvalues of S independent symmetric operators H_1 ... H_S at once, by Lanczos with full
/// reorthogonalisation and thick restart.
///
/// Each iteration takes one product per problem. A problem leaves the batch when its Ritz pairs have converged and are
/// certified, or when a product is not finite; then its numbers are NaN, and it has not converged. Residual norms are computed
/// with separate products, not taken from the recurrence. If a Krylov space is exhausted before its bounds are tight enough,
/// the iteration continues with another random vector.
/// See examples/custom_operator.cpp.
///
/// \param op       symmetric operator
/// \param options  e.g. {.tolerance = 1e-4, .ends = Ends::upper}
/// \return         extremal Ritz pairs of each problem, with residual norms and convergence flags
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: m products and O(S n m^2) arithmetic for m <= max_basis; memory S n (max_basis + 8) scalars.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., section 10.1; Wu & Simon (2000), Thick-restart Lanczos
/// method; for the bounds docs/math.md, "Certified norms".
ExtremalEigenvalues lanczos(const LinearOperator& op, const LanczosOptions& options = {});

}  // namespace hessian
