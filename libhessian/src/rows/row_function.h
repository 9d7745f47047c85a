#pragma once

#include <cstdint>

#include "fused/vector_math.h"

// What the passes over rows are written with. A pass is a struct of pointers and sizes whose operator()(lanes, row)
// does one row; it is compiled twice, for the host, where one lane does a row and the loop becomes vector code, and for
// a CUDA device, where the lanes are threads that share the row. So both compute by the same formula, and the tests of
// the host cover the indices of the device.

// Loops of the files that are compiled for vectors; see libhessian/CMakeLists.txt.
#if defined(HESSIAN_VECTOR_LOOPS)
#define HESSIAN_PRAGMA(text) _Pragma(#text)
#else
#define HESSIAN_PRAGMA(text)
#endif
#define HESSIAN_SIMD HESSIAN_PRAGMA(omp simd)
#define HESSIAN_SIMD_SUM(...) HESSIAN_PRAGMA(omp simd reduction(+ : __VA_ARGS__))

namespace hessian::rows {

using fused::narrow;
using fused::Wide;
using fused::widen;

/// The lanes of the host: one, which has the whole row.
struct OneLane {
  static constexpr int64_t first = 0;
  static constexpr int64_t step = 1;

  /// The sum of what every lane has, to every lane.
  template <class T>
  HESSIAN_ROW_FUNCTION T sum(T mine) const {
    return mine;
  }
};

/// Rows of tangents [S, k, P, width] and of what they are tangents of, [S, P, width].
struct RowMap {
  int64_t vectors = 1;    ///< k
  int64_t positions = 1;  ///< P

  /// The row of the value that a tangent's row belongs to.
  HESSIAN_ROW_FUNCTION int64_t value_row(int64_t row) const {
    return row / (vectors * positions) * positions + row % positions;
  }
};

}  // namespace hessian::rows
