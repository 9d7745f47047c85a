#pragma once

#include "kernels/rows/row_function.h"

// y = silu(g) u with silu(g) = g s, s = 1 / (1 + exp(-g)) and ds/dg = s (1 - s), so that silu'(g) = s (1 + g (1 - s)).
// Source: Shazeer (2020), arXiv 2002.05202.

namespace hessian::rows {

template <class T>
struct SiluGateForward {
  using Element = T;
  const T* gate;  ///< [rows, width]
  const T* up;    ///< the same
  int64_t width;
  T* y;  ///< the same

  bool packs() const { return fits_packs<T>(width, gate, up, y); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const int64_t begin = row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto gates = load<pack>(gate + begin + i);
      const auto ups = load<pack>(up + begin + i);
      Pack<pack, T> result;
      for (int j = 0; j < pack; ++j) {
        const Wide<T> g = widen(gates[j]);
        const Wide<T> s = 1 / (1 + exponential(-g));
        result[j] = narrow<T>(g * s * widen(ups[j]));
      }
      store(result, y + begin + i);
    }
  }
};

template <class T>
struct SiluGateBackward {
  using Element = T;
  const T* dy;    ///< [rows, width]
  const T* gate;  ///< the same
  const T* up;    ///< the same
  int64_t width;
  T* dgate;  ///< the same
  T* dup;    ///< the same

  bool packs() const { return fits_packs<T>(width, dy, gate, up, dgate, dup); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const int64_t begin = row * width;
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto dys = load<pack>(dy + begin + i);
      const auto gates = load<pack>(gate + begin + i);
      const auto ups = load<pack>(up + begin + i);
      Pack<pack, T> by_gate;
      Pack<pack, T> by_up;
      for (int j = 0; j < pack; ++j) {
        const Wide<T> g = widen(gates[j]);
        const Wide<T> s = 1 / (1 + exponential(-g));
        const Wide<T> scaled = widen(dys[j]) * s;
        by_gate[j] = narrow<T>(scaled * widen(ups[j]) * (1 + g * (1 - s)));
        by_up[j] = narrow<T>(scaled * g);
      }
      store(by_gate, dgate + begin + i);
      store(by_up, dup + begin + i);
    }
  }
};

}  // namespace hessian::rows
