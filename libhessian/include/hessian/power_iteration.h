#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

/// The k eigenpairs of largest magnitude of S operators, largest first.
struct DominantEigenpairs {
  at::Tensor values;      ///< [S, k] float64, with their signs
  at::Tensor residuals;   ///< [S, k] float64, ||Hv - lambda v||, from products of their own
  at::Tensor vectors;     ///< [S, k, n], orthonormal
  at::Tensor iterations;  ///< [S, k] int32
  at::Tensor converged;   ///< [S, k] bool, whether the residual is within tolerance * spectral norm
};

/// Power iteration for S independent symmetric operators at once; each later pair is sought in the
/// complement of those found.
///
/// The eigenvalue is the Rayleigh quotient, so that it carries its sign. A problem that has converged is frozen. The
/// ratio of the two largest magnitudes decides the speed: where |lambda_max| and |lambda_min| are close, as they may be
/// in indefinite Hessians, it stalls, and says that it has not converged. Later pairs are as exact as those deflated
/// before them.
///
/// \param count  number k of pairs
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: one product an iteration, and k for the residuals; memory S n (k + 3) scalars.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., section 8.2; deflation: Saad, Numerical Methods for Large
/// Eigenvalue Problems, 2nd ed., section 4.2.
DominantEigenpairs power_iteration(const LinearOperator& op, const EigensolverOptions& options, int64_t count = 1);

/// Ends of the spectrum by power iteration: the dominant pair first, then, unless it is all that is sought, that of
/// H - lambda I, which is the other end. The iterations of both count.
ExtremalEigenvalues power_extremes(const LinearOperator& op, const EigensolverOptions& options);

}  // namespace hessian
