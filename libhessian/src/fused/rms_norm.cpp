#include <algorithm>
#include <cmath>
#include <vector>

#include "fused/kernels.h"
#include "fused/parallel.h"

// y = g x r with r = (mean(x^2) + eps)^(-1/2), so that dr/dx_j = -r^3 x_j / n, and
//   dL/dx_j = r g_j dy_j - x_j (r^3 / n) sum_i g_i dy_i x_i,    dL/dg_j = sum over rows of dy_j x_j r.
// Source: Zhang & Sennrich (2019), arXiv 1910.07467, section 4.
// A row is read twice, the second time from the cache.

namespace hessian::fused {
namespace {

template <class T>
[[gnu::always_inline]] inline Wide<T> forward_row(const T* x, const Wide<T>* gain, Wide<T> eps, int64_t width, T* y) {
  Wide<T> squares = 0;
#pragma omp simd reduction(+ : squares)
  for (int64_t i = 0; i < width; ++i) {
    squares += widen(x[i]) * widen(x[i]);
  }
  const Wide<T> inverse_rms = 1 / std::sqrt(squares / static_cast<Wide<T>>(width) + eps);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    y[i] = narrow<T>(widen(x[i]) * inverse_rms * gain[i]);
  }
  return inverse_rms;
}

/// Adds the row's part of the gain's gradient to dgain.
template <class T>
[[gnu::always_inline]] inline void backward_row(const T* dy, const T* x, const Wide<T>* gain, Wide<T> inverse_rms,
                                                int64_t width, T* dx, Wide<T>* dgain) {
  Wide<T> dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < width; ++i) {
    dot += gain[i] * widen(dy[i]) * widen(x[i]);
  }
  const Wide<T> along = inverse_rms * inverse_rms * inverse_rms * dot / static_cast<Wide<T>>(width);
#pragma omp simd
  for (int64_t i = 0; i < width; ++i) {
    const Wide<T> scaled = widen(dy[i]) * inverse_rms;
    dgain[i] += scaled * widen(x[i]);
    dx[i] = narrow<T>(scaled * gain[i] - widen(x[i]) * along);
  }
}

}  // namespace

template <class T>
void rms_norm_forward(const T* x, const Wide<T>* gain, double eps, int64_t rows, int64_t width, T* y,
                      Wide<T>* inverse_rms) {
  const Blocks blocks = Blocks::of(rows, width);
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        inverse_rms[row] = forward_row(x + row * width, gain, static_cast<Wide<T>>(eps), width, y + row * width);
      }
    });
  });
}

template <class T>
void rms_norm_backward(const T* dy, const T* x, const Wide<T>* gain, const Wide<T>* inverse_rms, int64_t rows,
                       int64_t width, T* dx, Wide<T>* dgain) {
  // At most 64 partial sums of the gain's gradient, so that adding them up is little work beside the rows.
  Blocks blocks = Blocks::of(rows, width);
  blocks.items_per_block = std::max(blocks.items_per_block, (rows + 63) / 64);
  std::vector<Wide<T>> partial(static_cast<std::size_t>(blocks.count() * width));
  for_each_block(blocks, [&](int64_t block) {
    with_widest_vectors([&]() __attribute__((always_inline)) {
      for (int64_t row = blocks.begin(block); row < blocks.end(block); ++row) {
        backward_row(dy + row * width, x + row * width, gain, inverse_rms[row], width, dx + row * width,
                     partial.data() + block * width);
      }
    });
  });
  std::fill_n(dgain, width, Wide<T>{0});
  for (int64_t block = 0; block < blocks.count(); ++block) {
    const Wide<T>* part = partial.data() + block * width;
    for (int64_t i = 0; i < width; ++i) {
      dgain[i] += part[i];
    }
  }
}

template void rms_norm_forward(const float*, const float*, double, int64_t, int64_t, float*, float*);
template void rms_norm_forward(const double*, const double*, double, int64_t, int64_t, double*, double*);
template void rms_norm_forward(const c10::BFloat16*, const float*, double, int64_t, int64_t, c10::BFloat16*, float*);
template void rms_norm_backward(const float*, const float*, const float*, const float*, int64_t, int64_t, float*,
                                float*);
template void rms_norm_backward(const double*, const double*, const double*, const double*, int64_t, int64_t, double*,
                                double*);
template void rms_norm_backward(const c10::BFloat16*, const c10::BFloat16*, const float*, const float*, int64_t,
                                int64_t, c10::BFloat16*, float*);

}  // namespace hessian::fused
