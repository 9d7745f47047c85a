#pragma once

#include <ATen/ATen.h>

#include "experiments/probe.h"
#include "hessian/eigenvalues.h"
#include "probe_problem.h"

namespace experiments {

/// How the sequences of a probe are divided so that each part's graph and Lanczos basis fit into memory.
struct MemoryPlan {
  int64_t sequences_at_once = 1;
  int64_t max_basis = 64;
};

/// Measures one sequence at the layer that needs most, and divides the memory allowed by what it takes.
/// \throws std::runtime_error  if one sequence does not fit, saying what would
MemoryPlan plan_memory(const ProbeOptions& options, at::Device device, const ProbeProblem& problem);

/// Both ends of the spectrum of every sequence's Hessian, by the method asked for, as many sequences at once as the
/// plan says.
/// \param positions  [S], the position of each sequence that Unit::token looks at
hessian::ExtremalEigenvalues solve(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                                   const std::vector<int64_t>& positions);

}  // namespace experiments
