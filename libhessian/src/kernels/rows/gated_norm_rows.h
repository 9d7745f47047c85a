#pragma once

#include <cmath>

#include "kernels/rows/row_function.h"

// z = silu(a) u with a = RMSNorm(p) and u = RMSNorm(q), each with its own gain: the gate of SimpleNorm models in one
// pass, so that a and u are never written to memory. From dz,
//   da = dz u s (1 + a (1 - s)),    du = dz a s,    s = 1 / (1 + exp(-a)),
// and from these the gradients of both norms; gate_rows.h and rms_norm_rows.h have formulas and sources.

namespace hessian::rows {

template <class T>
struct GatedNormForward {
  using Element = T;
  const T* gate;             ///< p, [rows, width]
  const T* up;               ///< q, the same
  const Wide<T>* gate_gain;  ///< [width]
  const Wide<T>* up_gain;    ///< the same
  Wide<T> gate_eps;
  Wide<T> up_eps;
  int64_t width;
  T* z;                  ///< as p
  Wide<T>* inverse_rms;  ///< [rows, 2]: of p, of q

  bool packs() const { return fits_packs<T>(width, gate, up, gate_gain, up_gain, z); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const int64_t begin = row * width;
    Wide<T> gate_squares = 0;
    Wide<T> up_squares = 0;
    HESSIAN_SIMD_SUM(gate_squares, up_squares)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto ps = load<pack>(gate + begin + i);
      const auto qs = load<pack>(up + begin + i);
      for (int j = 0; j < pack; ++j) {
        gate_squares += widen(ps[j]) * widen(ps[j]);
        up_squares += widen(qs[j]) * widen(qs[j]);
      }
    }
    const auto n = static_cast<Wide<T>>(width);
    const Wide<T> gate_r = 1 / std::sqrt(lanes.sum(gate_squares) / n + gate_eps);
    const Wide<T> up_r = 1 / std::sqrt(lanes.sum(up_squares) / n + up_eps);
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto ps = load<pack>(gate + begin + i);
      const auto qs = load<pack>(up + begin + i);
      const auto gate_g = load<pack>(gate_gain + i);
      const auto up_g = load<pack>(up_gain + i);
      Pack<pack, T> result;
      for (int j = 0; j < pack; ++j) {
        const Wide<T> a = widen(ps[j]) * gate_r * gate_g[j];
        const Wide<T> u = widen(qs[j]) * up_r * up_g[j];
        result[j] = narrow<T>(a / (1 + exponential(-a)) * u);
      }
      store(result, z + begin + i);
    }
    if (lanes.first == 0) {
      inverse_rms[2 * row] = gate_r;
      inverse_rms[2 * row + 1] = up_r;
    }
  }
};

/// Processes groups of rows, as RmsNormBackward does.
template <class T>
struct GatedNormBackward {
  using Element = T;
  const T* dz;                 ///< [rows, width]
  const T* gate;               ///< p, the same
  const T* up;                 ///< q, the same
  const Wide<T>* gate_gain;    ///< [width]
  const Wide<T>* up_gain;      ///< the same
  const Wide<T>* inverse_rms;  ///< [rows, 2]
  int64_t rows;
  int64_t rows_per_group;
  int64_t width;
  T* dgate;            ///< as p
  T* dup;              ///< as q
  Wide<T>* gain_sums;  ///< [groups, 2, width]: of the gate's gain, of up's

  using Scratch = Wide<T>;
  int64_t scratch_size() const { return 2 * width; }
  bool packs() const { return fits_packs<T>(width, dz, gate, up, gate_gain, up_gain, dgate, dup, gain_sums); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t group) const {
    constexpr int pack = Lanes::pack;
    Wide<T>* const result = gain_sums + group * 2 * width;
    Wide<T>* const sums = lanes.scratch(result);
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      store(Pack<pack, Wide<T>>{}, sums + i);
      store(Pack<pack, Wide<T>>{}, sums + width + i);
    }
    const int64_t end = (group + 1) * rows_per_group < rows ? (group + 1) * rows_per_group : rows;
    for (int64_t row = group * rows_per_group; row < end; ++row) {
      one_row(lanes, row, sums);
    }
    if (sums != result) {
      for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
        store(load<pack>(sums + i), result + i);
        store(load<pack>(sums + width + i), result + width + i);
      }
    }
  }

 private:
  /// One entry: p r and q r, and the gradients with respect to a and u.
  struct Entry {
    Wide<T> p;
    Wide<T> q;
    Wide<T> da;
    Wide<T> du;
  };

  HESSIAN_ROW_FUNCTION static Entry entry(T dz, T p, T q, Wide<T> gate_r, Wide<T> up_r, Wide<T> gate_g, Wide<T> up_g) {
    const Wide<T> p_normed = widen(p) * gate_r;
    const Wide<T> q_normed = widen(q) * up_r;
    const Wide<T> a = p_normed * gate_g;
    const Wide<T> s = 1 / (1 + exponential(-a));
    const Wide<T> scaled = widen(dz) * s;
    return {p_normed, q_normed, scaled * q_normed * up_g * (1 + a * (1 - s)), scaled * a};
  }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void one_row(const Lanes& lanes, int64_t row, Wide<T>* sums) const {
    constexpr int pack = Lanes::pack;
    const int64_t begin = row * width;
    const Wide<T> gate_r = inverse_rms[2 * row];
    const Wide<T> up_r = inverse_rms[2 * row + 1];
    Wide<T> gate_dot = 0;
    Wide<T> up_dot = 0;
    HESSIAN_SIMD_SUM(gate_dot, up_dot)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto dzs = load<pack>(dz + begin + i);
      const auto ps = load<pack>(gate + begin + i);
      const auto qs = load<pack>(up + begin + i);
      const auto gate_g = load<pack>(gate_gain + i);
      const auto up_g = load<pack>(up_gain + i);
      for (int j = 0; j < pack; ++j) {
        const Entry e = entry(dzs[j], ps[j], qs[j], gate_r, up_r, gate_g[j], up_g[j]);
        gate_dot += gate_g[j] * e.da * e.p;
        up_dot += up_g[j] * e.du * e.q;
      }
    }
    const auto n = static_cast<Wide<T>>(width);
    const Wide<T> gate_along = lanes.sum(gate_dot) / n;
    const Wide<T> up_along = lanes.sum(up_dot) / n;
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto dzs = load<pack>(dz + begin + i);
      const auto ps = load<pack>(gate + begin + i);
      const auto qs = load<pack>(up + begin + i);
      const auto gate_g = load<pack>(gate_gain + i);
      const auto up_g = load<pack>(up_gain + i);
      auto gate_total = load<pack>(sums + i);
      auto up_total = load<pack>(sums + width + i);
      Pack<pack, T> by_gate;
      Pack<pack, T> by_up;
      for (int j = 0; j < pack; ++j) {
        const Entry e = entry(dzs[j], ps[j], qs[j], gate_r, up_r, gate_g[j], up_g[j]);
        gate_total[j] += e.da * e.p;
        up_total[j] += e.du * e.q;
        by_gate[j] = narrow<T>(gate_r * (e.da * gate_g[j] - e.p * gate_along));
        by_up[j] = narrow<T>(up_r * (e.du * up_g[j] - e.q * up_along));
      }
      store(gate_total, sums + i);
      store(up_total, sums + width + i);
      store(by_gate, dgate + begin + i);
      store(by_up, dup + begin + i);
    }
  }
};

}  // namespace hessian::rows
