#include "kernels/cuda/pass_kernels.cuh"

namespace hessian::rows {

#define HESSIAN_INSTANTIATE(Pass) template cudaError_t launch_pass(const Pass&, int64_t, int64_t, cudaStream_t)
HESSIAN_TRAINING_PASSES(HESSIAN_INSTANTIATE)

}  // namespace hessian::rows
