#pragma once

#include "hessian/block_seeds.h"

namespace hessian {

/// A number estimated from random probes, with the standard error of the estimate: its standard deviation over other
/// draws of the probes, itself estimated from how the probes differ. On the CPU in float64.
struct Estimate {
  at::Tensor value;
  at::Tensor standard_error;  ///< the shape of value
};

/// Random probes of each block.
struct ProbeOptions : BlockSeeds {
  int64_t probes = 32;  ///< at least 2, which a standard error needs
};

/// Mean over independent samples, and its standard error: their standard deviation over the root of their number.
/// \param samples  [S, P, ...] float64
/// \return         tensors [S, ...]
Estimate mean_of_samples(const at::Tensor& samples);

/// Checks what all estimates ask of their operator and options.
/// \throws std::invalid_argument
void check_probe_arguments(const LinearOperator& op, const ProbeOptions& options);

}  // namespace hessian
