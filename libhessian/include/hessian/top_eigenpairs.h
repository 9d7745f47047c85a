#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct TopEigenpairsOptions : EigensolverOptions {
  /// Number k of pairs: at each end with Ends::both, at the end sought, or with Ends::dominant in all.
  int64_t count = 1;
  /// Vectors b that a product takes for a problem. 1 is Lanczos, which sees one vector of an eigenspace. More is problem
  /// Lanczos: it finds eigenvalues of multiplicity up to b, and separates clusters of up to b.
  int64_t block_width = 1;
  /// Number of basis vectors held for a problem; beyond them the iteration restarts from its best Ritz vectors. At least
  /// the pairs sought and 2 b more, or n where that is smaller; 0: 64, or twice the pairs and 4 b where that is larger.
  int64_t max_basis = 0;
};

/// Eigenpairs of S operators, on the CPU in float64 except for the vectors. In their order: with Ends::upper from the
/// largest eigenvalue down, with Ends::lower from the smallest up, with Ends::dominant by magnitude, largest first.
/// With
/// Ends::both K is 2 k, the k upper ones come first, and where 2 k > n some pairs stand at both ends.
struct TopEigenpairs {
  at::Tensor values;     ///< [S, K]
  at::Tensor residuals;  ///< [S, K], ||Hv - lambda v||, from products of their own
  at::Tensor vectors;    ///< [S, K, n], orthonormal
  /// [S], largest magnitude of a Ritz value, which residuals are held against; a lower bound of the spectral norm where
  /// the end that has it was not sought.
  at::Tensor spectral_norm;
  at::Tensor iterations;  ///< [S] int32, products with the problem before it stopped; those of the residuals excepted
  at::Tensor converged;   ///< [S, K] bool, whether the residual is within tolerance * spectral norm
};

/// Several eigenpairs of S independent symmetric operators at once by (problem) Lanczos with full reorthogonalisation and
/// thick restart.
///
/// A problem whose pairs have all converged is frozen. With Ends::dominant a problem goes on until the Ritz values next to
/// those found are known well enough to be smaller. Where the Krylov space of the start vectors is exhausted, random
/// vectors go on.
///
/// \param op  symmetric operator
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// \throws std::runtime_error     if a product is not finite
/// Cost: m / b products of b vectors and O(S n m max_basis) arithmetic, K products more for the residuals; memory
/// S n (max_basis + 5 b + K) scalars.
/// Source: Wu & Simon (2000), Thick-restart Lanczos method for large symmetric eigenvalue problems; Golub & Underwood
/// (1977), The block Lanczos method for computing eigenvalues.
TopEigenpairs top_eigenpairs(const LinearOperator& op, const TopEigenpairsOptions& options = {});

}  // namespace hessian
