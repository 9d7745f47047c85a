#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace hessian {

/// Returns the free bytes on a CUDA device as CUDA reports them, or nothing if this build has no CUDA sources.
std::optional<int64_t> free_device_memory_bytes(c10::Device device);

/// Returns the name of a CUDA device, such as "NVIDIA H100 80GB HBM3"; empty if this build has no CUDA sources.
std::string device_name(c10::Device device);

}  // namespace hessian
