#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "hessian/operator_algebra.h"
#include "spectrum/spectrum.h"

namespace hessian::experiments {

/// Some matrices of a group, as one operator.
struct GroupChunk {
  OperatorPtr op;
  std::vector<int64_t> problem_numbers;  ///< index of each matrix in the group
};

/// Calls a visitor with all matrices of a group, chunk by chunk.
using ForEachChunk = std::function<void(const std::function<void(const GroupChunk&)>&)>;

/// Computes everything that the options request of a group.
/// \param max_basis  maximum number of vectors that eigensolver and density may hold per matrix
/// \throws std::runtime_error  if a product is not finite
GroupSpectrum estimate_group(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis,
                             const ForEachChunk& for_each_chunk);

}  // namespace hessian::experiments
