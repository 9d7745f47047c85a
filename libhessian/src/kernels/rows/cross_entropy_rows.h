#pragma once

#include <cmath>
#include <limits>

#include "kernels/rows/row_function.h"
#include "kernels/rows/soft_cap.h"

// loss = m + log sum_i exp(z_i - m) - z_t with m = max z, and dloss/dz_i = exp(z_i - m - log sum) - [i = t]. Logits are
// read in their own precision and are never copied to another one. With a soft cap, z are the capped logits; they are
// computed where they are needed, and dloss is multiplied by the slope of the cap.
// Source: Blanchard, Higham & Higham (2021), "Accurately computing the log-sum-exp and softmax functions", IMA J.
// Numer. Anal. 41.

namespace hessian::rows {

template <class T, template <class> class Cap>
struct CrossEntropyForwardOf {
  using Element = T;
  const T* logits;         ///< before the cap, [rows, width]
  const int64_t* targets;  ///< t, [rows]; if it is not a class, loss and gradient are NaN
  int64_t width;           ///< classes
  Wide<T>* loss;           ///< [rows]
  /// [rows, 2]: m and log sum exp(z - m). They are stored separately, because their sum would lose the digits of the second
  /// for large logits.
  Wide<T>* normaliser;
  Cap<Wide<T>> cap = {};

  bool packs() const { return fits_packs<T>(width, logits); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const T* const z = logits + row * width;
    Wide<T> largest = -std::numeric_limits<Wide<T>>::infinity();
    HESSIAN_SIMD_MAX(largest)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto zs = load<pack>(z + i);
      for (int j = 0; j < pack; ++j) {
        largest = widen(zs[j]) > largest ? widen(zs[j]) : largest;
      }
    }
    largest = cap(lanes.max(largest)).value;
    Wide<T> sum = 0;
    HESSIAN_SIMD_SUM(sum)
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto zs = load<pack>(z + i);
      for (int j = 0; j < pack; ++j) {
        sum += exponential(cap(widen(zs[j])).value - largest);
      }
    }
    sum = lanes.sum(sum);
    if (lanes.first == 0) {
      const int64_t target = targets[row];
      const bool is_class = target >= 0 && target < width;
      const Wide<T> log_sum = is_class ? std::log(sum) : std::numeric_limits<Wide<T>>::quiet_NaN();
      normaliser[2 * row] = largest;
      normaliser[2 * row + 1] = log_sum;
      loss[row] = log_sum - (cap(widen(z[is_class ? target : 0])).value - largest);
    }
  }
};

template <class T>
using CrossEntropyForward = CrossEntropyForwardOf<T, NoCap>;
template <class T>
using CappedCrossEntropyForward = CrossEntropyForwardOf<T, TanhCap>;

/// Computes dz[row] = (softmax(z[row]) - onehot(t[row])) * dloss[row / rows_per_loss] / rows_per_loss, times the slope of
/// the cap.
template <class T, template <class> class Cap>
struct CrossEntropyBackwardOf {
  using Element = T;
  const Wide<T>* dloss;       ///< [rows / rows_per_loss]
  const T* logits;            ///< [rows, width]
  const int64_t* targets;     ///< [rows]
  const Wide<T>* normaliser;  ///< [rows, 2]
  int64_t width;
  int64_t rows_per_loss;
  T* dlogits;  ///< as logits
  Cap<Wide<T>> cap = {};

  bool packs() const { return fits_packs<T>(width, logits, dlogits); }

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    constexpr int pack = Lanes::pack;
    const T* const z = logits + row * width;
    T* const dz = dlogits + row * width;
    const Wide<T> scale = dloss[row / rows_per_loss] / static_cast<Wide<T>>(rows_per_loss);
    const Wide<T> largest = normaliser[2 * row];
    const Wide<T> log_sum = normaliser[2 * row + 1];
    HESSIAN_SIMD
    for (int64_t i = lanes.first * pack; i < width; i += lanes.step * pack) {
      const auto zs = load<pack>(z + i);
      Pack<pack, T> result;
      for (int j = 0; j < pack; ++j) {
        const auto capped = cap(widen(zs[j]));
        result[j] = narrow<T>(exponential(capped.value - largest - log_sum) * scale * capped.slope);
      }
      store(result, dz + i);
    }
    // The lane that wrote the target's entry in the loop corrects it here; a comparison in the loop would be slower.
    const int64_t target = targets[row];
    if (target >= 0 && target < width && target / pack % lanes.step == lanes.first) {
      const auto capped = cap(widen(z[target]));
      dz[target] = narrow<T>((exponential(capped.value - largest - log_sum) - 1) * scale * capped.slope);
    }
  }
};

template <class T>
using CrossEntropyBackward = CrossEntropyBackwardOf<T, NoCap>;
template <class T>
using CappedCrossEntropyBackward = CrossEntropyBackwardOf<T, TanhCap>;

}  // namespace hessian::rows
