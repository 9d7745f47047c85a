#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "probe/subject.h"
#include "spectrum/estimates.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// A group, and how its matrices are made.
struct GroupSource {
  SpectrumGroup group;
  int64_t max_basis = 0;  ///< vectors of a block that memory allows
  std::function<void(const std::function<void(const GroupPart&)>&)> for_each_part;
};

/// The activation Hessians at each site and layer asked for, a block for each sequence. References subject, options and
/// record.
/// \throws std::invalid_argument, std::runtime_error  as run_probe
std::vector<GroupSource> activation_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                           const ForwardRecord& record, at::Device device);

/// The parameter matrix of each glob. References subject and options.
/// \throws std::invalid_argument  for a glob without parameters
/// \throws std::runtime_error     if memory does not hold the vectors
std::vector<GroupSource> parameter_groups(const SpectrumOptions& options, const ProbeSubject& subject,
                                          at::Device device);

}  // namespace hessian::experiments
