#pragma once

#include "kernels/rows/row_function.h"

// Tangents of p = softmax(z) over a row, and of p = softmax(c t) with t = tanh(z / c), which is a softmax with a soft cap c
// on its arguments: their slope is 1 - t^2. Rows have `width` entries and start `pitch` entries apart; the entries in
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

/// Computes pdot = p (ydot - m) in place of zdot, with the tangent ydot = (1 - t^2) zdot of the capped arguments and
/// m = <p, ydot>.
template <class T>
struct CappedSoftmaxJvp {
  using Element = T;
  const T* probabilities;  ///< p, [S, P, pitch]
  const T* tanh;           ///< t, the same
  int64_t width;
  int64_t pitch;
  RowMap map;
  T* tangent;  ///< zdot, then pdot, [S, k, P, pitch]
  T* means;    ///< m, [S, k, P]

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * pitch;
    const T* const p = probabilities + begin;
    const T* const t = tanh + begin;
    T* const z = tangent + row * pitch;
    T mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      mean += p[i] * ((1 - t[i] * t[i]) * z[i]);
    }
    mean = lanes.sum(mean);
    if (lanes.first == 0) {
      means[row] = mean;
    }
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      z[i] = p[i] * ((1 - t[i] * t[i]) * z[i] - mean);
    }
  }
};

/// Computes the tangent of zbar = (1 - t^2) p e in place of pbardot, with e as in SoftmaxVjpTangent. The slope has the
/// tangent -(2 / c) t ydot, and p ydot = pdot + p m, so that
/// zbardot = (1 - t^2) (pdot e + p (pbardot - <pdot, e> - <p, pbardot>)) - (2 / c) t e (pdot + p m).
template <class T>
struct CappedSoftmaxVjpTangent {
  using Element = T;
  const T* probabilities;  ///< p, [S, P, pitch]
  const T* excess;         ///< e, the same
  const T* tanh;           ///< t, the same
  T cap;                   ///< c
  int64_t width;
  int64_t pitch;
  RowMap map;
  const T* pdot;         ///< [S, k, P, pitch]
  const T* means;        ///< m, [S, k, P]
  T* cotangent_tangent;  ///< pbardot, then zbardot, as pdot

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * pitch;
    const T* const p = probabilities + begin;
    const T* const e = excess + begin;
    const T* const t = tanh + begin;
    const T* const turned = pdot + row * pitch;
    T* const out = cotangent_tangent + row * pitch;
    const T m = means[row];
    const T bend = -2 / cap;
    T mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      mean += turned[i] * e[i] + p[i] * out[i];
    }
    mean = lanes.sum(mean);
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      out[i] =
          (1 - t[i] * t[i]) * (turned[i] * e[i] + p[i] * (out[i] - mean)) + bend * t[i] * e[i] * (turned[i] + p[i] * m);
    }
  }
};

/// Computes the tangent of zbar = (1 - t^2) (p - q) for constant q in place of zdot. It is the cotangent of the logits z
/// of a cross-entropy with the target distribution q: zbardot = (1 - t^2) p (ydot - <p, ydot>) - (2 / c) t zbar zdot.
template <class T>
struct CappedLogitsTangent {
  using Element = T;
  const T* probabilities;  ///< p, [S, P, width]
  const T* tanh;           ///< t, the same
  const T* cotangent;      ///< zbar, the same; null to omit its term
  T cap;                   ///< c
  int64_t width;
  RowMap map;
  T* tangent;  ///< zdot, then zbardot, [S, k, P, width]

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * width;
    const T* const p = probabilities + begin;
    const T* const t = tanh + begin;
    T* const z = tangent + row * width;
    T mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      mean += p[i] * ((1 - t[i] * t[i]) * z[i]);
    }
    mean = lanes.sum(mean);
    if (cotangent == nullptr) {
      HESSIAN_SIMD
      for (int64_t i = lanes.first; i < width; i += lanes.step) {
        const T slope = 1 - t[i] * t[i];
        z[i] = slope * p[i] * (slope * z[i] - mean);
      }
      return;
    }
    const T* const zbar = cotangent + begin;
    const T bend = -2 / cap;
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      const T slope = 1 - t[i] * t[i];
      z[i] = slope * p[i] * (slope * z[i] - mean) + bend * t[i] * zbar[i] * z[i];
    }
  }
};

}  // namespace hessian::rows
