#pragma once

#include "hessian/hutchinson_samples.h"

namespace hessian {

/// Estimates the diagonals of S operators: the mean of z * (H z), entry by entry, over random signs z.
///
/// Unbiased. One sample of entry i has the variance sum_{j != i} H_ij^2, so that diagonal operators are estimated exactly.
/// \return  [S, n]; the errors of the entries are correlated, so that their standard errors do not determine that of a
///          sum of entries; NaN for a problem whose products are not finite
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// Cost: one product per sample; memory 4 S n scalars plus 4 S n of float64.
/// To estimate traces or norms as well from the same products, use hutchinson_samples().
/// Source: Bekas, Kokiopoulou & Saad (2007), An estimator for the diagonal of a matrix, equation (3), for random signs.
Estimate estimate_diagonal(const LinearOperator& op, const SampleOptions& options = {});

}  // namespace hessian
