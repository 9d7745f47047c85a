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

/// Returns one group per requested site and layer: the activation Hessian of each sequence. The groups refer to
/// options, subject and record, which must outlive them.
/// \throws std::invalid_argument, std::runtime_error  as run_probe
std::vector<GroupSource> activation_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                           const ForwardRecord& record, const ComputeMemory& memory);

/// Returns one group per glob: the curvature matrix of the parameters that it matches. The groups refer to options and
/// subject, which must outlive them.
/// \throws std::invalid_argument  for a glob that matches no parameter
/// \throws std::runtime_error     if the vectors do not fit into memory
std::vector<GroupSource> parameter_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                          const ComputeMemory& memory);

}  // namespace hessian::experiments
