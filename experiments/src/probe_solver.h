#pragma once

#include <ATen/ATen.h>

#include <vector>

#include "experiments/probe.h"
#include "hessian/eigenvalues.h"
#include "memory_plan.h"
#include "probe_problem.h"

namespace experiments {

/// Both ends of the spectrum of every layer's and sequence's Hessian, by the method asked for, as many sequences at
/// once as the plan says and all layers of the problem together.
/// \param positions  [S], the position of each sequence that Unit::token looks at
/// \return           for each layer, [S] without vectors
std::vector<hessian::ExtremalEigenvalues> solve(const ProbeOptions& options, const MemoryPlan& plan,
                                                const ProbeProblem& problem, const std::vector<int64_t>& positions);

}  // namespace experiments
