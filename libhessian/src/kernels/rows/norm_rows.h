#pragma once

#include "kernels/rows/row_function.h"

// Tangents of y = g n + b with n = r P x and r = (mean((P x)^2) + eps)^(-1/2), where P subtracts the mean (LayerNorm)
// or is the identity (RMSNorm). With c = g ybar, the cotangent of n, and means over the row:
//   ndot    = r (P xdot - n a),                          a = mean(n xdot)
//   xbar    = r (P c - n m),                             m = mean(c n)
//   xbardot = r (P cdot - ndot m - n mdot) - r a xbar,   mdot = mean(cdot n + c ndot)
// since rdot = -r^2 a. Source: Griewank & Walther, Evaluating Derivatives, 2nd ed., section 3.4, applied to both norms.

namespace hessian::rows {

/// Values that all passes over norms read, computed once; one row per row of the norm's value.
template <class T>
struct NormValues {
  const T* normalised = nullptr;   ///< n, [S, P, width]
  const T* inverse_rms = nullptr;  ///< r, [S, P]
  const T* gain = nullptr;         ///< g, [width]
  bool centred = false;            ///< LayerNorm
  int64_t width = 0;
  RowMap map;
};

template <class T>
struct NormJvp {
  using Element = T;
  NormValues<T> values;
  const T* xdot;  ///< [S, k, P, width]
  T* ydot;        ///< the same
  T* ndot;        ///< the same
  T* a;           ///< [S, k, P]

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t width = values.width;
    const int64_t value_row = values.map.value_row(row);
    const T* const n = values.normalised + value_row * width;
    const T* const in = xdot + row * width;
    T* const out = ydot + row * width;
    T* const normalised_out = ndot + row * width;
    const T* const gain = values.gain;
    T along = 0;
    T total = 0;
    HESSIAN_SIMD_SUM(along, total)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      along += n[i] * in[i];
      total += in[i];
    }
    along = lanes.sum(along) / static_cast<T>(width);
    const T mean = values.centred ? lanes.sum(total) / static_cast<T>(width) : T{0};
    const T r = values.inverse_rms[value_row];
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      const T turned = r * (in[i] - mean - n[i] * along);
      normalised_out[i] = turned;
      out[i] = gain[i] * turned;
    }
    if (lanes.first == 0) {
      a[row] = along;
    }
  }
};

template <class T>
struct NormVjpTangent {
  using Element = T;
  NormValues<T> values;
  const T* cotangent;          ///< c, [S, P, width]
  const T* cotangent_along;    ///< m, [S, P]
  const T* cotangent_mean;     ///< mean(c), [S, P]
  const T* ndot;               ///< [S, k, P, width]
  const T* a;                  ///< [S, k, P]
  const T* cotangent_tangent;  ///< ybardot, [S, k, P, width]
  T* xbardot;                  ///< the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t width = values.width;
    const int64_t value_row = values.map.value_row(row);
    const T* const n = values.normalised + value_row * width;
    const T* const c = cotangent + value_row * width;
    const T* const turned = ndot + row * width;
    const T* const in = cotangent_tangent + row * width;
    const T* const gain = values.gain;
    T* const out = xbardot + row * width;
    T along = 0;
    T total = 0;
    HESSIAN_SIMD_SUM(along, total)
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      const T scaled = gain[i] * in[i];
      along += scaled * n[i] + c[i] * turned[i];
      total += scaled;
    }
    along = lanes.sum(along) / static_cast<T>(width);
    const T mean = values.centred ? lanes.sum(total) / static_cast<T>(width) : T{0};
    const T r = values.inverse_rms[value_row];
    const T m = cotangent_along[value_row];
    const T c_mean = values.centred ? cotangent_mean[value_row] : T{0};
    const T shrink = r * a[row];
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      const T xbar = c[i] - c_mean - n[i] * m;
      out[i] = r * (gain[i] * in[i] - mean - turned[i] * m - n[i] * along - shrink * xbar);
    }
  }
};

}  // namespace hessian::rows
