#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Products of S operators with random signs z, reduced to the numbers from which several estimates follow:
/// hutchinson_trace(), frobenius_norm(), participation_ratio() and estimate_diagonal() take them, so that one set of
/// products serves all. On the CPU in float64. A problem whose products are not finite has NaN throughout.
struct HutchinsonSamples {
  at::Tensor quadratic;     ///< [S, P], z^T H z, with mean tr H
  at::Tensor squared_norm;  ///< [S, P], ||H z||^2, with mean tr H^2
  Estimate diagonal = {};   ///< [S, n], the mean of z * (H z); undefined unless requested
};

/// Multiplies S operators with random signs. A problem takes no further products once one of them is not finite.
/// \param with_diagonal  whether to estimate the diagonals too
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// Cost: one product per sample; memory 4 S n scalars, plus 4 S n of float64 for the diagonals.
HutchinsonSamples hutchinson_samples(const LinearOperator& op, const SampleOptions& options = {},
                                     bool with_diagonal = false);

}  // namespace hessian
