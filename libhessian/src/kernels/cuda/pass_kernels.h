#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hessian::rows {

/// Launches a pass over rows in a stream: one warp per row of few elements, one thread block per row of many elements or
/// of a pass that needs memory for sums.
/// \return  CUDA's status of the launch
template <class Pass>
cudaError_t launch_pass(const Pass& pass, int64_t rows, int64_t elements_per_row, cudaStream_t stream);

}  // namespace hessian::rows
