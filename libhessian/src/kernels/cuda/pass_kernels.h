#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hessian::rows {

/// Launches a pass over rows in a stream: one warp for a row of few elements, one block for a row of many or for a pass
/// that sums up in memory of its own.
/// \return  what CUDA says of the launch
template <class Pass>
cudaError_t launch_pass(const Pass& pass, int64_t rows, int64_t elements_per_row, cudaStream_t stream);

}  // namespace hessian::rows
