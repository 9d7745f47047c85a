#pragma once

#include "hessian/device.h"
#include "hessian/tape.h"

namespace hessian::support {

/// Whether a test has a CUDA device to run on, and this build kernels for it. A test that needs one begins with
/// `if (!support::has_cuda()) GTEST_SKIP() << support::no_cuda;` and has Cuda in its name: scripts/test_cuda.sh runs
/// those.
inline bool has_cuda() {
  return hessian::cuda_is_available() && hessian::tape_runs_on(c10::kCUDA);
}

inline constexpr const char* no_cuda = "no CUDA device here, or no kernels for it in this build";

}  // namespace hessian::support
