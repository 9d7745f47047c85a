#pragma once

#include "hessian/estimate.h"

namespace hessian {

struct TraceEstimate : Estimate {  // value and standard error [S]
  int64_t products = 0;            ///< products used, of each problem
};

/// Trace of S operators by Hutchinson's estimator: the mean of z^T H z over random signs z.
///
/// Unbiased. For symmetric H one sample has the variance 2 (||H||_F^2 - sum H_ii^2).
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// \throws std::runtime_error     if a product is not finite
/// Cost: a product a sample; memory 3 S n scalars.
/// Source: Hutchinson (1990), A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
/// splines.
TraceEstimate hutchinson_trace(const LinearOperator& op, const SampleOptions& options = {});

struct HutchPlusPlusOptions : ProblemSeeds {
  /// Products a problem, a third of them for each of the three parts; at least 6, so that the last part has two samples.
  int64_t products = 48;
};

/// Trace of S operators by Hutch++: exact on the range Q of a sketch H G, and Hutchinson's estimator on the rest,
///
///     tr(Q^T H Q) + mean of g^T (I - Q Q^T) H (I - Q Q^T) g.
///
/// Unbiased. The standard error is that of the second term with Q given, which is all that is random about the
/// estimate once Q is drawn; where rank H is at most a third of the products, it is zero but for rounding. It pays
/// where few eigenvalues hold most of the norm, and otherwise needs up to three times Hutchinson's products.
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 6 products
/// \throws std::runtime_error     if a product is not finite
/// Cost: the products, and O(S n products^2 / 9) arithmetic; memory S n (products / 3 + 6) scalars.
/// Source: Meyer, Musco, Musco & Woodruff (2021), Hutch++: optimal stochastic trace estimation, algorithm 1.
TraceEstimate hutch_plus_plus_trace(const LinearOperator& op, const HutchPlusPlusOptions& options = {});

}  // namespace hessian
