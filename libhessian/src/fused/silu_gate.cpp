#include "fused/kernels.h"
#include "fused/parallel.h"

// silu(g) = g s with s = 1 / (1 + exp(-g)) and ds/dg = s (1 - s), so that silu'(g) = s (1 + g (1 - s)).
// Source: Shazeer (2020), arXiv 2002.05202.

namespace hessian::fused {
namespace {

template <class T>
[[gnu::always_inline]] inline T sigmoid(T x) {
  return 1 / (1 + exponential(-x));
}

}  // namespace

template <class T>
void silu_gate_forward(const T* gate, const T* up, int64_t size, T* y) {
  const Blocks blocks{size, 16384};
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      const int64_t end = blocks.end(block);
#pragma omp simd
      for (int64_t i = blocks.begin(block); i < end; ++i) {
        const Wide<T> g = widen(gate[i]);
        y[i] = narrow<T>(g * sigmoid(g) * widen(up[i]));
      }
    });
  });
}

template <class T>
void silu_gate_backward(const T* dy, const T* gate, const T* up, int64_t size, T* dgate, T* dup) {
  const Blocks blocks{size, 16384};
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      const int64_t end = blocks.end(block);
#pragma omp simd
      for (int64_t i = blocks.begin(block); i < end; ++i) {
        const Wide<T> g = widen(gate[i]);
        const Wide<T> s = sigmoid(g);
        const Wide<T> scaled = widen(dy[i]) * s;
        dgate[i] = narrow<T>(scaled * widen(up[i]) * (1 + g * (1 - s)));
        dup[i] = narrow<T>(scaled * g);
      }
    });
  });
}

template void silu_gate_forward(const float*, const float*, int64_t, float*);
template void silu_gate_forward(const double*, const double*, int64_t, double*);
template void silu_gate_forward(const c10::BFloat16*, const c10::BFloat16*, int64_t, c10::BFloat16*);
template void silu_gate_backward(const float*, const float*, const float*, int64_t, float*, float*);
template void silu_gate_backward(const double*, const double*, const double*, int64_t, double*, double*);
template void silu_gate_backward(const c10::BFloat16*, const c10::BFloat16*, const c10::BFloat16*, int64_t,
                                 c10::BFloat16*, c10::BFloat16*);

}  // namespace hessian::fused
