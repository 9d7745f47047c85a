#pragma once

#include <cstdint>

#include "kernels/vector_math.h"

// What the passes over rows are written with. A pass is a struct of pointers and sizes whose operator()(lanes, row)
// does one row; it is compiled twice, for the host, where one lane does a row and the loop becomes vector code, and for
// a CUDA device, where the lanes are threads that share the row. So both compute by the same formula, and the tests of
// the host cover the indices of the device.

// A pass that reads rows by load() and store() says so by packs(): a lane of a device then takes `pack` entries at a
// time, 16 bytes of the row, where memory allows it. The host's vectors need no packs.

// Loops of the files that are compiled for vectors; see libhessian/CMakeLists.txt.
#if defined(HESSIAN_VECTOR_LOOPS)
#define HESSIAN_PRAGMA(text) _Pragma(#text)
#else
#define HESSIAN_PRAGMA(text)
#endif
#define HESSIAN_SIMD HESSIAN_PRAGMA(omp simd)
#define HESSIAN_SIMD_SUM(...) HESSIAN_PRAGMA(omp simd reduction(+ : __VA_ARGS__))
#define HESSIAN_SIMD_MAX(...) HESSIAN_PRAGMA(omp simd reduction(max : __VA_ARGS__))

namespace hessian::rows {

using fused::exponential;
using fused::narrow;
using fused::Wide;
using fused::widen;

/// The lanes of the host: one, which has the whole row.
struct OneLane {
  static constexpr int64_t first = 0;
  static constexpr int64_t step = 1;
  static constexpr int pack = 1;

  /// The sum of what every lane has, to every lane.
  template <class T>
  HESSIAN_ROW_FUNCTION T sum(T mine) const {
    return mine;
  }

  /// The same for the largest.
  template <class T>
  HESSIAN_ROW_FUNCTION T max(T mine) const {
    return mine;
  }

  /// Where sums are best kept that are to end up in `result`: there, or in memory that is nearer. Each lane may touch
  /// its own entries only.
  template <class T>
  HESSIAN_ROW_FUNCTION T* scratch(T* result) const {
    return result;
  }
};

/// Entries next to each other that a lane takes at once.
template <int n, class T>
struct alignas(n * sizeof(T) < 16 ? n * sizeof(T) : 16) Pack {
  T entries[n];

  HESSIAN_ROW_FUNCTION T& operator[](int i) { return entries[i]; }
  HESSIAN_ROW_FUNCTION const T& operator[](int i) const { return entries[i]; }
};

template <int n, class T>
HESSIAN_ROW_FUNCTION Pack<n, T> load(const T* from) {
  return *reinterpret_cast<const Pack<n, T>*>(from);
}

template <int n, class T>
HESSIAN_ROW_FUNCTION void store(const Pack<n, T>& pack, T* to) {
  *reinterpret_cast<Pack<n, T>*>(to) = pack;
}

/// Entries of type T that fill 16 bytes.
template <class T>
inline constexpr int entries_in_pack = static_cast<int>(16 / sizeof(T));

/// Whether rows of that width can be read in packs at these addresses.
template <class T, class... Pointers>
bool fits_packs(int64_t width, Pointers... pointers) {
  return width % entries_in_pack<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

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
