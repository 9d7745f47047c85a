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

/// The Hessians of some consecutive sequences, at all layers of a problem.
struct SequenceChunk {
  OperatorPtr op;
  std::vector<int64_t> problem_numbers;  ///< sequence of each problem of `op`; selects its start vector
  int64_t first = 0;                     ///< first sequence
  int64_t count = 0;
};

/// Calls `visit` with the operators of all sequences, `plan.sequences_at_once` sequences at a time.
/// \param positions  [S], the position of each sequence for Unit::token
void for_each_chunk(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                    const std::vector<int64_t>& positions, const std::function<void(const SequenceChunk&)>& visit);

/// Returns how the norms of a probe are certified.
/// \param norms  number of norms that one probe measures
/// \throws std::invalid_argument  if the precision of the model does not allow it
CertificateOptions certificate_of(const ProbeOptions& options, int64_t norms);

/// Computes the requested ends of the spectrum of every layer's and sequence's Hessian, with the chosen method. All
/// layers of the problem are solved together, and as many sequences as the plan says.
/// \return  for each layer, tensors [S], without eigenvectors
std::vector<ExtremalEigenvalues> solve(const ProbeOptions& options, const MemoryPlan& plan, const ProbeProblem& problem,
                                       const std::vector<int64_t>& positions,
                                       const CertificateOptions& certificate = {});

}  // namespace hessian::experiments
