#include "hessian/device.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>

#include <stdexcept>

#include "device/device_memory.h"

namespace hessian {
namespace {

/// Loads LibTorch's CUDA library, which registers its kernels on loading, and returns the error text, empty on success.
/// The programs link LibTorch's CPU library only, so that they also run on machines without CUDA.
const std::string& cuda_load_error() {
  static const std::string error = [] {
    if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) == nullptr) {
      const char* reason = dlerror();
      return std::string(reason != nullptr ? reason : "libtorch_cuda.so cannot be loaded");
    }
    return std::string();
  }();
  return error;
}

}  // namespace

bool cuda_is_available() {
  return cuda_load_error().empty() && at::globalContext().hasCUDA();
}

c10::Device select_device(const std::string& word) {
  if (word == "cpu" || (word == "auto" && !cuda_is_available())) {
    return c10::kCPU;
  }
  if (word == "auto") {
    return {c10::kCUDA, 0};
  }
  const bool indexed = word.rfind("cuda:", 0) == 0 && word.size() > 5 &&
                       word.find_first_not_of("0123456789", 5) == std::string::npos && word.size() < 8;
  if (word != "cuda" && !indexed) {
    throw std::invalid_argument("'" + word + "' is not a device; use auto, cpu, cuda or cuda:N");
  }
  if (!cuda_is_available()) {
    throw std::runtime_error("CUDA cannot be used: " +
                             (cuda_load_error().empty() ? "there is no CUDA device" : cuda_load_error()));
  }
  const int index = indexed ? std::stoi(word.substr(5)) : 0;
  const auto devices = static_cast<int>(at::detail::getCUDAHooks().deviceCount());
  if (index >= devices) {
    throw std::runtime_error("there is no device " + word + "; this machine has " + std::to_string(devices));
  }
  return {c10::kCUDA, static_cast<c10::DeviceIndex>(index)};
}

std::string describe_device(c10::Device device) {
  if (device.is_cpu()) {
    return "cpu (" + std::to_string(at::get_num_threads()) + " threads)";
  }
  const std::string name = device_name(device);
  return device.str() + (name.empty() ? "" : " (" + name + ")");
}

}  // namespace hessian
