#include <algorithm>

#include "pass_kernels.h"
#include "rows/passes.h"

namespace hessian::rows {
namespace {

constexpr int warp_size = 32;
constexpr int rows_per_block = 8;     // of one warp each
constexpr int threads_per_row = 256;  // of one block
constexpr int64_t widest_for_a_warp = 1024;
constexpr int64_t most_blocks = 65535;  // beyond them blocks take several rows

template <class T>
__device__ T warp_sum(T mine) {
  for (int offset = warp_size / 2; offset > 0; offset /= 2) {
    mine += __shfl_xor_sync(0xffffffffU, mine, offset);
  }
  return mine;
}

/// The lanes of one warp.
struct WarpLanes {
  int64_t first;
  static constexpr int64_t step = warp_size;

  template <class T>
  __device__ T sum(T mine) const {
    return warp_sum(mine);
  }
};

/// The lanes of one block, whose warps add up through shared memory.
struct BlockLanes {
  int64_t first;
  static constexpr int64_t step = threads_per_row;

  template <class T>
  __device__ T sum(T mine) const {
    __shared__ T parts[threads_per_row / warp_size];
    const T of_warp = warp_sum(mine);
    __syncthreads();  // the parts of the sum before may still be read
    if (threadIdx.x % warp_size == 0) {
      parts[threadIdx.x / warp_size] = of_warp;
    }
    __syncthreads();
    T total = 0;
    for (const T part : parts) {
      total += part;
    }
    return total;
  }
};

template <class Pass>
__global__ void __launch_bounds__(warp_size* rows_per_block) run_by_warps(Pass pass, int64_t rows) {
  const WarpLanes lanes{static_cast<int64_t>(threadIdx.x)};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * rows_per_block;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * rows_per_block + threadIdx.y; row < rows; row += stride) {
    pass(lanes, row);
  }
}

template <class Pass>
__global__ void __launch_bounds__(threads_per_row) run_by_blocks(Pass pass, int64_t rows) {
  const BlockLanes lanes{static_cast<int64_t>(threadIdx.x)};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    pass(lanes, row);
  }
}

}  // namespace

template <class Pass>
cudaError_t launch_pass(const Pass& pass, int64_t rows, int64_t elements_per_row, cudaStream_t stream) {
  if (rows == 0) {
    return cudaSuccess;
  }
  if (elements_per_row <= widest_for_a_warp) {
    const int64_t blocks = std::min((rows + rows_per_block - 1) / rows_per_block, most_blocks);
    run_by_warps<<<static_cast<unsigned>(blocks), dim3(warp_size, rows_per_block), 0, stream>>>(pass, rows);
  } else {
    run_by_blocks<<<static_cast<unsigned>(std::min(rows, most_blocks)), threads_per_row, 0, stream>>>(pass, rows);
  }
  return cudaGetLastError();
}

#define HESSIAN_INSTANTIATE(Pass) template cudaError_t launch_pass(const Pass&, int64_t, int64_t, cudaStream_t)
HESSIAN_FOR_EACH_PASS(HESSIAN_INSTANTIATE, float)
HESSIAN_FOR_EACH_PASS(HESSIAN_INSTANTIATE, double)

}  // namespace hessian::rows
