#pragma once

#include "hessian/problem_seeds.h"

namespace hessian {

/// A quantity estimated from random samples, with its standard error: the standard deviation of the estimate over
/// repeated draws of the samples, itself estimated from their scatter. On the CPU in float64.
struct Estimate {
  at::Tensor value;
  at::Tensor standard_error;  ///< the shape of value
};

struct SampleOptions {
  /// Number of random vectors per problem, at least 2 (a standard error needs two).
  int64_t samples = 32;
  /// Seeds of the random vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Returns the mean over independent samples, and its standard error: the standard deviation of the samples divided by
/// the square root of their number.
/// \param samples  [S, P, ...] float64
/// \return         tensors [S, ...]
Estimate mean_of_samples(const at::Tensor& samples);

}  // namespace hessian
