#pragma once

#include <algorithm>

#include "kernels/cuda/pass_kernels.h"
#include "kernels/rows/passes.h"

namespace hessian::rows {

constexpr int warp_size = 32;
constexpr int warps_per_block = 8;            // of a thread block in which each warp processes one row
constexpr int max_threads = 256;              // of a thread block that processes one row
constexpr int64_t max_warp_width = 1024;      // entries of a row that one warp processes
constexpr int64_t max_blocks = 65535;         // of a grid; with more rows, each thread block processes several
constexpr int64_t max_shared_bytes = 48'000;  // per thread block; available on every device

/// Combines the values of all threads of a warp.
template <class T, class Combine>
__device__ T combine_in_warp(T mine, const Combine& combine) {
  for (int offset = warp_size / 2; offset > 0; offset /= 2) {
    mine = combine(mine, __shfl_xor_sync(0xffffffffU, mine, offset));
  }
  return mine;
}

/// Combines the values of all threads of a thread block, whose warps exchange their results through shared memory.
template <class T, class Combine>
__device__ T combine_in_block(T mine, const Combine& combine) {
  __shared__ T warp_values[max_threads / warp_size];
  const T warp_value = combine_in_warp(mine, combine);
  __syncthreads();  // the values of the previous call may still be read
  if (threadIdx.x % warp_size == 0) {
    warp_values[threadIdx.x / warp_size] = warp_value;
  }
  __syncthreads();
  T total = warp_values[0];
  for (unsigned warp = 1; warp < blockDim.x / warp_size; ++warp) {
    total = combine(total, warp_values[warp]);
  }
  return total;
}

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return b > a ? b : a;
  }
};

/// The lanes of one warp.
template <int entries>
struct WarpLanes {
  int64_t first;
  static constexpr int64_t step = warp_size;
  static constexpr int pack = entries;

  template <class T>
  __device__ T sum(T mine) const {
    return combine_in_warp(mine, Plus{});
  }
  template <class T>
  __device__ T max(T mine) const {
    return combine_in_warp(mine, Larger{});
  }
};

/// The lanes of one thread block.
template <int entries>
struct BlockLanes {
  int64_t first;
  int64_t step;
  void* shared;  ///< null if there is none
  static constexpr int pack = entries;

  template <class T>
  __device__ T sum(T mine) const {
    return combine_in_block(mine, Plus{});
  }
  template <class T>
  __device__ T max(T mine) const {
    return combine_in_block(mine, Larger{});
  }
  template <class T>
  __device__ T* scratch(T* result) const {
    return shared != nullptr ? static_cast<T*>(shared) : result;
  }
};

template <int entries, class Pass>
__global__ void __launch_bounds__(warp_size* warps_per_block) run_by_warps(Pass pass, int64_t rows) {
  const WarpLanes<entries> lanes{static_cast<int64_t>(threadIdx.x)};
  const int64_t stride = static_cast<int64_t>(gridDim.x) * warps_per_block;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * warps_per_block + threadIdx.y; row < rows; row += stride) {
    pass(lanes, row);
  }
}

template <int entries, class Pass>
__global__ void __launch_bounds__(max_threads) run_by_blocks(Pass pass, int64_t rows, bool has_shared) {
  extern __shared__ __align__(16) unsigned char shared[];
  const BlockLanes<entries> lanes{static_cast<int64_t>(threadIdx.x), static_cast<int64_t>(blockDim.x),
                                  has_shared ? shared : nullptr};
  for (int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    pass(lanes, row);
  }
}

/// True if a pass needs memory for sums. Such passes run in thread blocks, which have shared memory.
template <class Pass>
constexpr bool has_scratch = requires(const Pass& pass) {
  pass.scratch_size();
};

/// Returns the number of threads that a row of this many packs keeps busy, in whole warps.
inline unsigned threads_for(int64_t packs) {
  const int64_t warps = (packs + warp_size - 1) / warp_size;
  return static_cast<unsigned>(warp_size * std::clamp<int64_t>(warps, 1, max_threads / warp_size));
}

template <int entries, class Pass>
void launch_in_packs(const Pass& pass, int64_t rows, int64_t elements_per_row, cudaStream_t stream) {
  const auto blocks = static_cast<unsigned>(std::min(rows, max_blocks));
  if constexpr (has_scratch<Pass>) {
    const auto bytes = static_cast<int64_t>(sizeof(typename Pass::Scratch)) * pass.scratch_size();
    const bool fits = bytes <= max_shared_bytes;
    run_by_blocks<entries>
        <<<blocks, threads_for(pass.scratch_size() / entries), fits ? bytes : 0, stream>>>(pass, rows, fits);
  } else if (elements_per_row <= max_warp_width) {
    const int64_t warp_blocks = std::min((rows + warps_per_block - 1) / warps_per_block, max_blocks);
    run_by_warps<entries>
        <<<static_cast<unsigned>(warp_blocks), dim3(warp_size, warps_per_block), 0, stream>>>(pass, rows);
  } else {
    run_by_blocks<entries><<<blocks, threads_for(elements_per_row / entries), 0, stream>>>(pass, rows, false);
  }
}

template <class Pass>
cudaError_t launch_pass(const Pass& pass, int64_t rows, int64_t elements_per_row, cudaStream_t stream) {
  if (rows == 0) {
    return cudaSuccess;
  }
  if constexpr (requires { pass.packs(); }) {
    if (pass.packs()) {
      launch_in_packs<entries_in_pack<typename Pass::Element>>(pass, rows, elements_per_row, stream);
      return cudaGetLastError();
    }
  }
  launch_in_packs<1>(pass, rows, elements_per_row, stream);
  return cudaGetLastError();
}

}  // namespace hessian::rows
