#include "fused/kernels.h"
#include "fused/parallel.h"

// (x, y) -> (x cos a - y sin a, x sin a + y cos a). The gradient turns by -a.
// Source: Su et al. (2021), arXiv 2104.09864, section 3.4.2.

namespace hessian::fused {
namespace {

/// \param sign  1 to turn by the angles, -1 to turn back
template <class T>
[[gnu::always_inline]] inline void rotate_head(const T* x, const Wide<T>* cosine, const Wide<T>* sine, Wide<T> sign,
                                               int64_t pairs, T* y) {
#pragma omp simd
  for (int64_t j = 0; j < pairs; ++j) {
    const Wide<T> even = widen(x[2 * j]);
    const Wide<T> odd = widen(x[2 * j + 1]);
    const Wide<T> turn = sign * sine[j];
    y[2 * j] = narrow<T>(even * cosine[j] - odd * turn);
    y[2 * j + 1] = narrow<T>(even * turn + odd * cosine[j]);
  }
}

}  // namespace

template <class T>
void rotate_pairs(const T* x, const Wide<T>* table, bool back, int64_t sequences, int64_t positions, int64_t heads,
                  int64_t head_dim, T* y) {
  const int64_t pairs = head_dim / 2;
  const Blocks blocks = Blocks::of(sequences * positions, heads * head_dim);
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        const Wide<T>* const cosines = table + row % positions * head_dim;
        for (int64_t head = row * heads; head < (row + 1) * heads; ++head) {
          rotate_head<T>(x + head * head_dim, cosines, cosines + pairs, back ? -1 : 1, pairs, y + head * head_dim);
        }
      }
    });
  });
}

template void rotate_pairs(const float*, const float*, bool, int64_t, int64_t, int64_t, int64_t, float*);
template void rotate_pairs(const double*, const double*, bool, int64_t, int64_t, int64_t, int64_t, double*);
template void rotate_pairs(const c10::BFloat16*, const float*, bool, int64_t, int64_t, int64_t, int64_t,
                           c10::BFloat16*);

}  // namespace hessian::fused
