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

/// Computes everything that the options request of a group. The numbers of a matrix whose products are not finite are NaN, and
/// the density is that of the others.
/// \param max_basis  maximum number of vectors that eigensolver and density may hold per matrix
GroupSpectrum estimate_group(const SpectrumOptions& options, const SpectrumGroup& group, int64_t max_basis,
                             const ForEachChunk& for_each_chunk);

}  // namespace hessian::experiments
