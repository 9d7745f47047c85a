#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Diagonals of S operators: the mean of z * (H z), entry by entry, over random signs z.
///
/// Unbiased; one sample gives entry i with the variance sum_{j != i} H_ij^2, so that a diagonal operator is exact.
/// \return  [S, n]; entries of one sample are correlated, and their standard errors say nothing of sums of entries
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// \throws std::runtime_error     if a product is not finite
/// Cost: a product a sample; memory S n (3 scalars + 4 of float64).
/// Source: Bekas, Kokiopoulou & Saad (2007), An estimator for the diagonal of a matrix, equation (3), for random signs.
Estimate estimate_diagonal(const LinearOperator& op, const SampleOptions& options = {});

}  // namespace hessian
