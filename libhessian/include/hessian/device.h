#pragma once

#include <c10/core/Device.h>

#include <string>

namespace hessian {

/// Returns whether a CUDA device can be used. The first call loads LibTorch's CUDA library if it is installed.
bool cuda_is_available();

/// Parses "cpu", "cuda", "cuda:1" or "auto" (CUDA if it can be used, otherwise the CPU).
/// \throws std::invalid_argument  for any other word
/// \throws std::runtime_error     if CUDA is requested and cannot be used; the message gives the reason
c10::Device select_device(const std::string& word);

/// Describes a device: "cpu (2 threads)", "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string describe_device(c10::Device device);

}  // namespace hessian
