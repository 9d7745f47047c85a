#include "device/device_memory.h"

// What a build without the CUDA side knows of a CUDA device: nothing.

namespace hessian {

std::optional<int64_t> free_device_memory_bytes(c10::Device /*device*/) {
  return std::nullopt;
}

std::string device_name(c10::Device /*device*/) {
  return {};
}

}  // namespace hessian
