#include "kernels/rows/cuda_rows.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <stdexcept>
#include <string>

#include "kernels/cuda/pass_kernels.h"
#include "kernels/rows/passes.h"

namespace hessian::rows {

bool has_cuda_passes() {
  return true;
}

template <class Pass>
void run_on_cuda(const Pass& pass, int64_t rows, int64_t elements_per_row, c10::Device device) {
  const c10::cuda::CUDAGuard guard(device);
  const cudaError_t status =
      launch_pass(pass, rows, elements_per_row, c10::cuda::getCurrentCUDAStream(device.index()).stream());
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
  }
}

#define HESSIAN_INSTANTIATE(Pass) template void run_on_cuda(const Pass&, int64_t, int64_t, c10::Device)
HESSIAN_TANGENT_PASSES(HESSIAN_INSTANTIATE)
HESSIAN_TRAINING_PASSES(HESSIAN_INSTANTIATE)

}  // namespace hessian::rows
