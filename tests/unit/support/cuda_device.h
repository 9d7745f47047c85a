#pragma once

#include "hessian/device.h"
#include "hessian/tape.h"

namespace hessian::support {

/// Returns whether there is a CUDA device and this build has kernels for it. A test that needs one begins with
/// `if (!support::has_cuda()) GTEST_SKIP() << support::no_cuda;` and has Cuda in its name, by which scripts/test_cuda.sh
/// selects it.
inline bool has_cuda() {
  return cuda_is_available() && tape_runs_on(c10::kCUDA);
}

inline constexpr const char* no_cuda = "no CUDA device here, or no kernels for it in this build";

}  // namespace hessian::support
