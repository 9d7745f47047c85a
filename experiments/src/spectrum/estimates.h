#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "hessian/operator_algebra.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// Some blocks of a group, as one operator.
struct GroupPart {
  hessian::OperatorPtr op;
  std::vector<int64_t> problem_numbers;  ///< in the group
};

/// Everything that is asked for of a group, whose parts are made one after the other.
/// \param max_basis  most vectors of a block that the eigensolver and the density may hold
/// \throws std::runtime_error  if a product is not finite
Numbers estimate_group(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis,
                       const std::function<void(const std::function<void(const GroupPart&)>&)>& for_each_part);

}  // namespace hessian::experiments
