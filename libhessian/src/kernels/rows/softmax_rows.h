#pragma once

#include "kernels/rows/row_function.h"

// Tangents of p = softmax(z) over a row. Rows have `width` entries and start `pitch` entries apart; the entries in
// between are not touched. Source: Griewank & Walther, Evaluating Derivatives, 2nd ed., section 3.4.

namespace hessian::rows {

/// Computes pdot = p (zdot - <p, zdot>) in place of zdot.
template <class T>
struct SoftmaxJvp {
  using Element = T;
  const T* probabilities;  ///< p, [S, P, pitch]
  int64_t width;
  int64_t pitch;
  RowMap map;
  T* tangent;  ///< zdot, then pdot, [S, k, P, pitch]

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const T* const p = probabilities + map.value_row(row) * pitch;
    T* const z = tangent + row * pitch;
    T mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      mean += p[i] * z[i];
    }
    mean = lanes.sum(mean);
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      z[i] = p[i] * (z[i] - mean);
    }
  }
};

/// Computes the tangent of zbar = p (pbar - <p, pbar>) = p e in place of pbardot. With e the excess, and since
/// <pdot, 1> = 0, zbardot = pdot e + p (pbardot - <pdot, e> - <p, pbardot>).
template <class T>
struct SoftmaxVjpTangent {
  using Element = T;
  const T* probabilities;  ///< p, [S, P, pitch]
  const T* excess;         ///< e, the same
  int64_t width;
  int64_t pitch;
  RowMap map;
  const T* pdot;         ///< [S, k, P, pitch]
  T* cotangent_tangent;  ///< pbardot, then zbardot, the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * pitch;
    const T* const p = probabilities + begin;
    const T* const e = excess + begin;
    const T* const turned = pdot + row * pitch;
    T* const out = cotangent_tangent + row * pitch;
    T mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      mean += turned[i] * e[i] + p[i] * out[i];
    }
    mean = lanes.sum(mean);
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      out[i] = turned[i] * e[i] + p[i] * (out[i] - mean);
    }
  }
};

}  // namespace hessian::rows
