#pragma once

#include "hessian/hutchinson_samples.h"

namespace hessian {

struct TraceEstimate : Estimate {  // value and standard error [S]
  int64_t products = 0;            ///< products used per problem
};

/// Estimates the trace of S operators by Hutchinson's estimator: the mean of z^T H z over random signs z. See
/// examples/any_model.cpp.
///
/// Unbiased. For symmetric H one sample has the variance 2 (||H||_F^2 - sum H_ii^2). NaN for a problem whose products are not
/// finite.
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 2 samples
/// Cost: one product per sample, none if samples are given; memory 4 S n scalars.
/// Source: Hutchinson (1990), A stochastic estimator of the trace of the influence matrix for Laplacian smoothing
/// splines.
TraceEstimate hutchinson_trace(const LinearOperator& op, const SampleOptions& options = {});
TraceEstimate hutchinson_trace(const HutchinsonSamples& samples);

struct HutchPlusPlusOptions {
  /// Products per problem, at least 6. One third each goes to the sketch, to the exact term and to the samples of the
  /// remainder; a standard error needs two samples.
  int64_t products = 48;
  /// Seeds of the random vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Estimates the trace of S operators by Hutch++: exactly on the range Q of a sketch H G, and by Hutchinson's estimator on its
/// complement,
///
///     tr(Q^T H Q) + mean of g^T (I - Q Q^T) H (I - Q Q^T) g.
///
/// Unbiased. The standard error is that of the second term for the given Q; if the rank of H is at most a third of the
/// products, it is zero up to rounding. Better than Hutchinson's estimator if few eigenvalues hold most of the Frobenius norm;
/// otherwise it needs up to three times as many products. NaN for a problem whose products are not finite.
/// \throws std::invalid_argument  if the operator is empty or there are fewer than 6 products
/// Cost: the products, and O(S n products^2 / 9) arithmetic; memory S n (products / 3 + 6) scalars.
/// Source: Meyer, Musco, Musco & Woodruff (2021), Hutch++: optimal stochastic trace estimation, algorithm 1.
TraceEstimate hutch_plus_plus_trace(const LinearOperator& op, const HutchPlusPlusOptions& options = {});

}  // namespace hessian
