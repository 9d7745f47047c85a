#pragma once

#include <cmath>

#include "kernels/rows/row_function.h"

// y = g x r with r = (mean(x^2) + eps)^(-1/2), so that dr/dx_j = -r^3 x_j / n, and
//   dL/dx_j = r g_j dy_j - x_j (r^3 / n) sum_i g_i dy_i x_i,    dL/dg_j = sum over rows of dy_j x_j r.
// Sums are taken in float32 for bfloat16. Each row is read twice, the second time from the cache.
// Source: Zhang & Sennrich (2019), arXiv 1910.07467, section 4.

namespace hessian::rows {

template <class T>
struct RmsNormForward {
  using Element = T;
  const T* x;           ///< [rows, width]
  const Wide<T>* gain;  ///< [width]
  Wide<T> eps;
  int64_t width;
  T* y;                  ///< as x
  Wide<T>* inverse_rms;  ///< r, [rows]

  bool packs() const { return fits_packs<T>(width, x, gain, y); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const T* const in = x + row * width;
    T* const out = y + row * width;
    Wide<T> squares = 0;
    HESSIAN_SIMD_SUM(squares)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto xs = load<pack>(in + i);
      for (int j = 0; j < pack; ++j) {
        squares += widen(xs[j]) * widen(xs[j]);
      }
    }
    const Wide<T> r = 1 / std::sqrt(lanes.sum(squares) / static_cast<Wide<T>>(width) + eps);
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto xs = load<pack>(in + i);
      const auto g = load<pack>(gain + i);
      Pack<pack, T> result;
      for (int j = 0; j < pack; ++j) {
        result[j] = narrow<T>(widen(xs[j]) * r * g[j]);
      }
      store(result, out + i);
    }
    if (lanes.first == 0) {
      inverse_rms[row] = r;
    }
  }
};

/// Processes groups of rows, and sums the gradient of the gain over each group. The lanes divide the columns, so that no
/// two add to the same number; the caller adds up the groups in order.
template <class T>
struct RmsNormBackward {
  using Element = T;
  const T* dy;                 ///< [rows, width]
  const T* x;                  ///< the same
  const Wide<T>* gain;         ///< [width]
  const Wide<T>* inverse_rms;  ///< [rows]
  int64_t rows;
  int64_t rows_per_group;
  int64_t width;
  T* dx;               ///< as x
  Wide<T>* gain_sums;  ///< [groups, width]

  using Scratch = Wide<T>;
  int64_t scratch_size() const { return width; }
  bool packs() const { return fits_packs<T>(width, dy, x, gain, dx, gain_sums); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t group) const {
    constexpr int pack = Lanes::pack;
    Wide<T>* const result = gain_sums + group * width;
    Wide<T>* const sums = lanes.scratch(result);
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      store(Pack<pack, Wide<T>>{}, sums + i);
    }
    const int64_t end = (group + 1) * rows_per_group < rows ? (group + 1) * rows_per_group : rows;
    for (int64_t row = group * rows_per_group; row < end; ++row) {
      one_row(lanes, row, sums);
    }
    if (sums != result) {
      for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
        store(load<pack>(sums + i), result + i);
      }
    }
  }

 private:
  template <class Lanes>
  HESSIAN_ROW_FUNCTION void one_row(const Lanes& lanes, int64_t row, Wide<T>* sums) const {
    constexpr int pack = Lanes::pack;
    const T* const in = x + row * width;
    const T* const up = dy + row * width;
    T* const out = dx + row * width;
    Wide<T> dot = 0;
    HESSIAN_SIMD_SUM(dot)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto xs = load<pack>(in + i);
      const auto dys = load<pack>(up + i);
      const auto g = load<pack>(gain + i);
      for (int j = 0; j < pack; ++j) {
        dot += g[j] * widen(dys[j]) * widen(xs[j]);
      }
    }
    const Wide<T> r = inverse_rms[row];
    const Wide<T> along = r * r * r * lanes.sum(dot) / static_cast<Wide<T>>(width);
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto xs = load<pack>(in + i);
      const auto dys = load<pack>(up + i);
      const auto g = load<pack>(gain + i);
      auto total = load<pack>(sums + i);
      Pack<pack, T> result;
      for (int j = 0; j < pack; ++j) {
        const Wide<T> scaled = widen(dys[j]) * r;
        total[j] += scaled * widen(xs[j]);
        result[j] = narrow<T>(scaled * g[j] - widen(xs[j]) * along);
      }
      store(total, sums + i);
      store(result, out + i);
    }
  }
};

}  // namespace hessian::rows
