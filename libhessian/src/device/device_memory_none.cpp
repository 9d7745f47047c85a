#include "device/device_memory.h"

// Used in builds without CUDA sources.

namespace hessian {

std::optional<int64_t> free_device_memory_bytes(c10::Device /*device*/) {
  return std::nullopt;
}

std::string device_name(c10::Device /*device*/) {
  return {};
}

}  // namespace hessian
