#pragma once

#include <c10/core/Device.h>

#include <string>

namespace hessian {

/// Loads LibTorch's CUDA library, once, where it is installed beside the CPU one, and says whether a CUDA device can be
/// used.
bool cuda_is_available();

/// Reads "cpu", "cuda", "cuda:1" or "auto" (CUDA where it can be used, otherwise the CPU).
/// \throws std::invalid_argument  for another word
/// \throws std::runtime_error     if CUDA is asked for and cannot be used, saying why
c10::Device select_device(const std::string& word);

/// "cpu (2 threads)", "cuda:0 (NVIDIA H100 80GB HBM3)".
std::string describe_device(c10::Device device);

}  // namespace hessian
