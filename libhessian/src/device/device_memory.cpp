#include "device/device_memory.h"

#include <c10/cuda/CUDAGuard.h>
#include <cuda_runtime_api.h>

namespace hessian {

std::optional<int64_t> free_device_memory_bytes(c10::Device device) {
  const c10::cuda::OptionalCUDAGuard guard(device);  // restores the caller's current device
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  if (cudaMemGetInfo(&free_bytes, &total_bytes) != cudaSuccess) {
    return std::nullopt;
  }
  return static_cast<int64_t>(free_bytes);
}

std::string device_name(c10::Device device) {
  cudaDeviceProp properties{};
  if (cudaGetDeviceProperties(&properties, device.index() < 0 ? 0 : device.index()) != cudaSuccess) {
    return {};
  }
  return properties.name;
}

}  // namespace hessian
