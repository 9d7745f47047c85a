#pragma once

#include "hessian/problem_seeds.h"

namespace hessian {

/// A number estimated from random samples, with the standard error of the estimate: its standard deviation over other
/// draws of the samples, itself estimated from how the samples differ. On the CPU in float64.
struct Estimate {
  at::Tensor value;
  at::Tensor standard_error;  ///< the shape of value
};

/// Random samples of each problem.
struct SampleOptions : ProblemSeeds {
  int64_t samples = 32;  ///< at least 2, which a standard error needs
};

/// Mean over independent samples, and its standard error: their standard deviation over the root of their number.
/// \param samples  [S, P, ...] float64
/// \return         tensors [S, ...]
Estimate mean_of_samples(const at::Tensor& samples);

/// Checks what all estimates ask of their operator and options.
/// \throws std::invalid_argument
void check_sample_arguments(const LinearOperator& op, const SampleOptions& options);

}  // namespace hessian
