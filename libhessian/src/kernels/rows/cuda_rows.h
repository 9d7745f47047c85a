#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace hessian::rows {

/// Returns whether this build has the passes for CUDA devices.
bool has_cuda_passes();

/// Runs a pass over rows on a CUDA device, in its current stream.
/// \throws std::runtime_error  if CUDA reports an error, or if has_cuda_passes() is false
template <class Pass>
void run_on_cuda(const Pass& pass, int64_t rows, int64_t elements_per_row, c10::Device device);

}  // namespace hessian::rows
