#pragma once

#include "kernels/rows/row_function.h"

// How passes over rows read numbers to which a soft cap may have to be applied. Chosen at compile time, so that a pass
// without a cap is the plain loop. Source: Gemma 2 (2024), arXiv 2408.00118.

namespace hessian::rows {

/// A number after a cap, and its derivative with respect to the number before the cap.
template <class T>
struct Capped {
  T value;
  T slope;
};

/// Reads numbers as they are.
template <class T>
struct NoCap {
  HESSIAN_ROW_FUNCTION Capped<T> operator()(T x) const { return {x, 1}; }
};

/// Reads cap * tanh(x / cap).
template <class T>
struct TanhCap {
  T cap;

  HESSIAN_ROW_FUNCTION Capped<T> operator()(T x) const {
    const T t = hyperbolic_tangent(x / cap);
    return {cap * t, 1 - t * t};
  }
};

}  // namespace hessian::rows
