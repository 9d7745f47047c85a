#include <stdexcept>

#include "kernels/rows/cuda_rows.h"
#include "kernels/rows/passes.h"

namespace hessian::rows {

bool has_cuda_passes() {
  return false;
}

template <class Pass>
void run_on_cuda(const Pass& /*pass*/, int64_t /*rows*/, int64_t /*elements_per_row*/, c10::Device /*device*/) {
  throw std::runtime_error("this build has no CUDA kernels; see cmake/CudaSupport.cmake");
}

#define HESSIAN_INSTANTIATE(Pass) template void run_on_cuda(const Pass&, int64_t, int64_t, c10::Device)
HESSIAN_TANGENT_PASSES(HESSIAN_INSTANTIATE)
HESSIAN_TRAINING_PASSES(HESSIAN_INSTANTIATE)

}  // namespace hessian::rows
