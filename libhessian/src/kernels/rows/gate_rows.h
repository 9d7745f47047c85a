#pragma once

#include "kernels/rows/row_function.h"

// y = G(g) u with an activation G(g) = g D(g), where D rises from 0 to 1, so that G' = D + g D'.
//   silu:               D(g) = s(g) with s(g) = 1 / (1 + exp(-g)), and D' = s (1 - s)
//   gelu, exact:        D(g) is the normal distribution, and D' its density
//   gelu, approximate:  D(g) = (1 + tanh(v)) / 2 = s(2 v) with v = sqrt(2 / pi) (g + 0.044715 g^3)
// Source: Shazeer (2020), arXiv 2002.05202; Hendrycks & Gimpel (2016), arXiv 1606.08415.

namespace hessian::rows {

/// The factor of an activation and its derivative.
template <class T>
struct GateFactor {
  T value;  ///< D(g)
  T slope;  ///< D'(g)
};

struct Silu {
  template <class T>
  HESSIAN_ROW_FUNCTION static GateFactor<T> factor(T g) {
    const T s = 1 / (1 + exponential(-g));
    return {s, s * (1 - s)};
  }
};

struct ExactGelu {
  template <class T>
  HESSIAN_ROW_FUNCTION static GateFactor<T> factor(T g) {
    const auto normal = normal_distribution(g);
    return {normal.distribution, normal.density};
  }
};

struct TanhGelu {
  template <class T>
  HESSIAN_ROW_FUNCTION static GateFactor<T> factor(T g) {
    constexpr auto scale = static_cast<T>(1.5957691216057308);  // 2 sqrt(2 / pi)
    constexpr auto cubic = static_cast<T>(0.044715);
    const T square = g * g;
    const T s = 1 / (1 + exponential(-scale * g * (1 + cubic * square)));
    return {s, s * (1 - s) * scale * (1 + 3 * cubic * square)};
  }
};

template <class T, class Activation>
struct GateForward {
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
        result[j] = narrow<T>(g * Activation::factor(g).value * widen(ups[j]));
      }
      store(result, y + begin + i);
    }
  }
};

template <class T, class Activation>
struct GateBackward {
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
        const Wide<T> d = widen(dys[j]);
        const auto factor = Activation::factor(g);
        by_gate[j] = narrow<T>(d * widen(ups[j]) * (factor.value + g * factor.slope));
        by_up[j] = narrow<T>(d * g * factor.value);
      }
      store(by_gate, dgate + begin + i);
      store(by_up, dup + begin + i);
    }
  }
};

// Names without a comma, which the macros of passes.h need.
template <class T>
using SiluGateForward = GateForward<T, Silu>;
template <class T>
using SiluGateBackward = GateBackward<T, Silu>;
template <class T>
using ExactGeluGateForward = GateForward<T, ExactGelu>;
template <class T>
using ExactGeluGateBackward = GateBackward<T, ExactGelu>;
template <class T>
using TanhGeluGateForward = GateForward<T, TanhGelu>;
template <class T>
using TanhGeluGateBackward = GateBackward<T, TanhGelu>;

}  // namespace hessian::rows
