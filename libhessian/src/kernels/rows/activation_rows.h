#pragma once

#include "kernels/rows/row_function.h"

// Tangents of functions that are applied to each entry. The derivatives at the value are computed once and passed in. A
// row is one position; RowMap gives the row of the value for a row of the tangent.

namespace hessian::rows {

/// Computes ydot = G' xdot for y = G(x), with a function G of one variable.
template <class T>
struct EntrywiseJvp {
  using Element = T;
  const T* first;  ///< G', [S, P, width]
  int64_t width;
  RowMap map;
  const T* xdot;  ///< [S, k, P, width]
  T* ydot;        ///< the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const T* const slope = first + map.value_row(row) * width;
    const T* const in = xdot + row * width;
    T* const out = ydot + row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      out[i] = slope[i] * in[i];
    }
  }
};

/// Computes xbardot = G' ybardot + (ybar G'') xdot for y = G(x).
template <class T>
struct EntrywiseVjpTangent {
  using Element = T;
  const T* first;      ///< G', [S, P, width]
  const T* curvature;  ///< ybar G'', the same
  int64_t width;
  RowMap map;
  const T* xdot;               ///< [S, k, P, width]
  const T* cotangent_tangent;  ///< ybardot, the same
  T* xbardot;                  ///< the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * width;
    const T* const slope = first + begin;
    const T* const bend = curvature + begin;
    const T* const in = cotangent_tangent + row * width;
    const T* const along = xdot + row * width;
    T* const out = xbardot + row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      out[i] = slope[i] * in[i] + bend[i] * along[i];
    }
  }
};

/// Computes ydot = u G' gdot + G udot for y = G(g) u.
template <class T>
struct GateJvp {
  using Element = T;
  const T* value;  ///< G, [S, P, width]
  const T* slope;  ///< u G', the same
  int64_t width;
  RowMap map;
  const T* gdot;  ///< [S, k, P, width]
  const T* udot;  ///< the same
  T* ydot;        ///< the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * width;
    const T* const by_up = value + begin;
    const T* const by_gate = slope + begin;
    const T* const gate = gdot + row * width;
    const T* const up = udot + row * width;
    T* const out = ydot + row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      out[i] = by_gate[i] * gate[i] + by_up[i] * up[i];
    }
  }
};

/// Computes gbardot = u G' ybardot + (ybar G') udot + (ybar u G'') gdot and ubardot = G ybardot + (ybar G') gdot.
template <class T>
struct GateVjpTangent {
  using Element = T;
  const T* value;      ///< G, [S, P, width]
  const T* slope;      ///< u G', the same
  const T* mixed;      ///< ybar G', the same
  const T* curvature;  ///< ybar u G'', the same
  int64_t width;
  RowMap map;
  const T* gdot;               ///< [S, k, P, width]
  const T* udot;               ///< the same
  const T* cotangent_tangent;  ///< ybardot, the same
  T* gbardot;                  ///< the same
  T* ubardot;                  ///< the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t begin = map.value_row(row) * width;
    const T* const by_up = value + begin;
    const T* const by_gate = slope + begin;
    const T* const both = mixed + begin;
    const T* const bend = curvature + begin;
    const T* const gate = gdot + row * width;
    const T* const up = udot + row * width;
    const T* const in = cotangent_tangent + row * width;
    T* const gate_out = gbardot + row * width;
    T* const up_out = ubardot + row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first; i < width; i += lanes.step) {
      gate_out[i] = by_gate[i] * in[i] + both[i] * up[i] + bend[i] * gate[i];
      up_out[i] = by_up[i] * in[i] + both[i] * gate[i];
    }
  }
};

}  // namespace hessian::rows
