#pragma once

#include <cstdint>
#include <vector>

#include "probe/memory_plan.h"
#include "probe/subject.h"
#include "spectrum/estimates.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// A group and its matrices.
struct GroupSource {
  SpectrumGroup group;
  int64_t max_basis = 0;  ///< maximum number of vectors per matrix that fit into memory
  ForEachChunk for_each_chunk;
};

/// Returns the activation Hessians at each requested site and layer, a matrix per sequence. They refer to options,
/// subject and record.
/// \throws std::invalid_argument, std::runtime_error  as run_probe
std::vector<GroupSource> activation_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                           const ForwardRecord& record, const ComputeMemory& memory);

/// Returns the parameter matrix of each glob. They refer to options and subject.
/// \throws std::invalid_argument  for a glob without parameters
/// \throws std::runtime_error     if memory does not hold the vectors
std::vector<GroupSource> parameter_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                          const ComputeMemory& memory);

}  // namespace hessian::experiments
