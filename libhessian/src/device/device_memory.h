#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <optional>
#include <string>

namespace hessian {

/// Free bytes on a CUDA device, those that LibTorch's allocator holds unused included; nothing without the CUDA side.
std::optional<int64_t> free_device_memory_bytes(c10::Device device);

/// The card's name, as "NVIDIA H100 80GB HBM3"; empty without the CUDA side.
std::string device_name(c10::Device device);

}  // namespace hessian
