#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

/// Returns the initial result, in which no end is known yet: NaN, and zero vectors.
ExtremalEigenvalues unknown_ends(const LinearOperator& op);

/// Computes the residual norms of the requested ends with one product each and sets `converged` from them. Resets ends that
/// were not requested to NaN.
/// \param norm  [S], the spectral norms, to which the tolerance is relative
void verify_residuals(const LinearOperator& op, Ends ends, double tolerance, const at::Tensor& norm,
                      ExtremalEigenvalues& result);

/// Checks the operator and the options that all eigensolvers share.
/// \throws std::invalid_argument  if one is out of range
void check_eigensolver_arguments(const LinearOperator& op, double tolerance, int64_t max_iterations,
                                 const ProblemSeeds& seeds);

}  // namespace hessian
