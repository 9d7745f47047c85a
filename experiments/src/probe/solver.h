#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "hessian/eigenvalues.h"
#include "probe/memory_plan.h"
#include "probe/probe.h"
#include "probe/problem.h"

namespace hessian::experiments {

/// The Hessians of some sequences, at all layers of a problem.
struct ProblemPart {
  hessian::OperatorPtr op;
  std::vector<int64_t> problem_numbers;  ///< of each block: the sequence's, so that it starts alike at every layer
  int64_t first = 0;                     ///< sequence of the problem
  int64_t count = 0;
};

/// Makes the operators of a problem one after the other, as many sequences at once as the plan says.
/// \param positions  [S], the position of each sequence that Unit::token looks at
void for_each_part(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                   const std::vector<int64_t>& positions, const std::function<void(const ProblemPart&)>& visit);

/// Both ends of the spectrum of every layer's and sequence's Hessian, by the method asked for, as many sequences at
/// once as the plan says and all layers of the problem together.
/// \return  for each layer, [S] without vectors
std::vector<hessian::ExtremalEigenvalues> solve(const ProbeOptions& options, const MemoryPlan& plan,
                                                const ProbeProblem& problem, const std::vector<int64_t>& positions);

}  // namespace hessian::experiments
