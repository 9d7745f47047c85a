#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct LanczosOptions : EigensolverOptions {
  /// Number of basis vectors held for a problem; beyond them the iteration restarts from its best Ritz vectors. At least
  /// 8, or n where that is smaller.
  int64_t max_basis = 64;
};

/// Lanczos with full reorthogonalisation and thick restart for S independent symmetric operators at once.
///
/// Finds the ends of the spectrum of H_1 ... H_S with one product an iteration for all of them. A problem whose Ritz
/// pairs have converged is frozen: it leaves the products and the basis. The residual norms reported come from products
/// of their own, not from the recurrence. Where only the dominant end is sought, a problem goes on until the other end's
/// Ritz value and residual norm together stay below it too.
///
/// \param op       symmetric operator
/// \param options  tolerance on the residual norm relative to the spectral norm, iteration limit, basis size, seed
/// \return         extremal Ritz pairs of each problem, with residual norms and convergence flags
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: m products and O(S n m^2) arithmetic for m <= max_basis; memory S n (max_basis + 8) scalars.
/// Source: Golub & Van Loan, Matrix Computations, 4th ed., section 10.1; Wu & Simon (2000), Thick-restart Lanczos
/// method.
ExtremalEigenvalues lanczos(const LinearOperator& op, const LanczosOptions& options = {});

}  // namespace hessian
