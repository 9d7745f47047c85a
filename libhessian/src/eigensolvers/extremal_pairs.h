#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

/// Returns ends that are still to be computed: NaN, and zero vectors.
ExtremalEigenvalues unknown_ends(const LinearOperator& op);

/// Computes the residual norms of the requested ends with one product each and sets `converged` from them. Resets ends that
/// were not requested to NaN.
/// \param norm  [S], the spectral norms that the tolerance is relative to
void verify_residuals(const LinearOperator& op, Ends ends, double tolerance, const at::Tensor& norm,
                      ExtremalEigenvalues& result);

/// Checks the operator and the options that all eigensolvers have.
/// \throws std::invalid_argument
void check_eigensolver_arguments(const LinearOperator& op, double tolerance, int64_t max_iterations,
                                 const ProblemSeeds& seeds);

}  // namespace hessian
