#pragma once

#include <cstdint>

#include "kernels/vector_math.h"

// Building blocks of passes over rows. A pass is a struct of pointers and sizes whose operator()(lanes, row) processes
// one row. It is compiled twice: for the host, where one lane processes a row and the loop becomes vector code, and for
// CUDA devices, where the lanes are threads that share the row. Both therefore use the same formula, and tests on the
// host cover the indexing of the device.
//
// A pass that reads and writes rows with load() and store() has a member packs(). If it returns true, each lane of a
// device processes `pack` entries at a time, 16 bytes of the row. The host's vector code needs no packs.

// Loop pragmas, for files that are compiled for vector instructions; see libhessian/CMakeLists.txt.
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
using fused::normal_distribution;
using fused::Wide;
using fused::widen;

/// The host's only lane, which processes whole rows.
struct OneLane {
  static constexpr int64_t first = 0;
  static constexpr int64_t step = 1;
  static constexpr int pack = 1;

  /// Returns the sum over all lanes, in every lane.
  template <class T>
  HESSIAN_ROW_FUNCTION T sum(T mine) const {
    return mine;
  }

  /// Returns the maximum over all lanes, in every lane.
  template <class T>
  HESSIAN_ROW_FUNCTION T max(T mine) const {
    return mine;
  }

  /// Returns memory for sums that end up in `result`: `result` itself, or faster memory. Each lane may access its own
  /// entries only.
  template <class T>
  HESSIAN_ROW_FUNCTION T* scratch(T* result) const {
    return result;
  }
};

/// Adjacent entries that a lane processes at once.
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

/// Number of entries of type T in 16 bytes.
template <class T>
inline constexpr int entries_in_pack = static_cast<int>(16 / sizeof(T));

/// Returns whether rows of that width at these addresses can be read in packs.
template <class T, class... Pointers>
bool fits_packs(int64_t width, Pointers... pointers) {
  return width % entries_in_pack<T> == 0 && ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Maps the rows of tangents [S, k, P, width] to the rows of their values [S, P, width].
struct RowMap {
  int64_t vectors = 1;    ///< k
  int64_t positions = 1;  ///< P

  /// Returns the row of the value for a row of the tangent.
  HESSIAN_ROW_FUNCTION int64_t value_row(int64_t row) const {
    return row / (vectors * positions) * positions + row % positions;
  }
};

}  // namespace hessian::rows
