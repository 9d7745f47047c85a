#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct TopEigenpairsOptions {
  /// Number k of pairs: per end with Ends::both, otherwise in total.
  int64_t count = 1;
  /// Largest residual norm ||Hv - lambda v|| of a converged pair, relative to the spectral norm of its problem.
  double tolerance = 1e-3;
  Ends ends = Ends::both;
  /// That none of the requested eigenvalues is missing. Only with block width 1; of a multiple eigenvalue, one eigenvector is
  /// found.
  CertificateOptions certificate = {};
  /// Largest number of products per problem.
  int64_t max_iterations = 200;
  /// Number b of vectors per product and problem. 1 is Lanczos, which finds one vector of each eigenspace. Larger values are
  /// block Lanczos, which finds eigenvalues of multiplicity up to b and separates clusters of up to b.
  int64_t block_width = 1;
  /// Number of basis vectors stored per problem; when they are used up, the iteration restarts from the best Ritz vectors. At
  /// least the number of pairs plus 2 b, or n if that is smaller. 0: 64, or twice the pairs plus 4 b if that is larger.
  int64_t max_basis = 0;
  /// Seeds of the start vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Eigenpairs of S operators, on the CPU in float64 except for the vectors. Order: with Ends::upper from the largest
/// eigenvalue down, with Ends::lower from the smallest up, with Ends::dominant by magnitude, largest first. With Ends::both
/// K = 2 k and the k upper pairs come first; if 2 k > n, some pairs appear at both ends.
struct TopEigenpairs {
  at::Tensor values;     ///< [S, K]
  at::Tensor residuals;  ///< [S, K], ||Hv - lambda v||, computed with separate products
  at::Tensor vectors;    ///< [S, K, n], orthonormal
  /// [S], largest magnitude of a Ritz value, to which the tolerance is relative. Only a lower bound of the spectral
  /// norm if the end that determines the norm was not requested.
  at::Tensor spectral_norm;
  at::Tensor iterations;  ///< [S] int32, products per problem until it stopped, without those for the residuals
  at::Tensor converged;   ///< [S, K] bool, whether the residual is within tolerance * spectral norm, and `certified`
  /// [S] bool, whether every eigenvalue that belongs to the requested ones lies within certify * spectral norm of one of
  /// `values`. False without a certificate, which `converged` then does without.
  at::Tensor certified;
  at::Tensor upper_bound;  ///< [S], upper bound of all eigenvalues; NaN without a certificate, or with Ends::lower
  at::Tensor lower_bound;  ///< [S], lower bound of all eigenvalues; NaN without a certificate, or with Ends::upper
  at::Tensor asymmetry;    ///< [S], as in ExtremalEigenvalues; NaN of block Lanczos
};

/// Computes several eigenpairs of S independent symmetric operators at once, by (block) Lanczos with full reorthogonalisation
/// and thick restart.
///
/// A problem leaves the batch when all its pairs have converged and are certified, or when a product is not finite; then its
/// numbers are NaN, and its pairs have not converged. Without a certificate, Ends::dominant continues until the next Ritz
/// value at each end, plus its residual norm, is smaller in magnitude. If the Krylov space of the start vectors is exhausted,
/// the iteration continues with random vectors. See examples/custom_operator.cpp.
///
/// \param op  symmetric operator
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: m / b products of b vectors and O(S n m max_basis) arithmetic, plus K products for the residuals; memory
/// S n (max_basis + 5 b + K) scalars.
/// Source: Wu & Simon (2000), Thick-restart Lanczos method for large symmetric eigenvalue problems; Golub & Underwood
/// (1977), The block Lanczos method for computing eigenvalues.
TopEigenpairs top_eigenpairs(const LinearOperator& op, const TopEigenpairsOptions& options = {});

}  // namespace hessian
