#pragma once

#include <limits>

#include "kernels/rows/row_function.h"
#include "kernels/rows/soft_cap.h"

// Weights of causal attention from scores with a soft cap, and the gradient of the scores, for a tile of queries:
// A = softmax(c tanh(S / c)) over the keys that a query sees, and zero for the others of the tile, whose scores are not
// read. dS = D A (dA - <A, dA>) with the cap's slope D. Source: Dao et al. (2022), FlashAttention, arXiv 2205.14135, for
// computing the weights again in the backward pass.

namespace hessian::rows {

/// Scores of a tile: one row per head and query, one column per key.
struct ScoreTile {
  int64_t queries;  ///< rows per head
  int64_t width;    ///< keys
  int64_t own_key;  ///< column of the first query's own key; the next query's is one further
  int64_t window;   ///< maximum number of keys that a query sees: its own and those before it

  /// Returns the columns [begin, end) that the query of a row sees.
  HESSIAN_ROW_FUNCTION int64_t end(int64_t row) const { return own_key + row % queries + 1; }
  HESSIAN_ROW_FUNCTION int64_t begin(int64_t row) const { return end(row) > window ? end(row) - window : 0; }
};

/// The largest capped score of a row, and the sum of the exponentials of all scores minus it.
template <class T>
struct SoftmaxNormaliser {
  T largest;
  T sum;
};

template <class T, class Lanes>
HESSIAN_ROW_FUNCTION SoftmaxNormaliser<Wide<T>> normaliser_of(const Lanes& lanes, const T* scores, int64_t begin,
                                                              int64_t end, TanhCap<Wide<T>> cap) {
  Wide<T> largest = -std::numeric_limits<Wide<T>>::infinity();
  HESSIAN_SIMD_MAX(largest)
  for (int64_t i = begin + lanes.first; i < end; i += lanes.step) {
    largest = widen(scores[i]) > largest ? widen(scores[i]) : largest;
  }
  largest = cap(lanes.max(largest)).value;
  Wide<T> sum = 0;
  HESSIAN_SIMD_SUM(sum)
  for (int64_t i = begin + lanes.first; i < end; i += lanes.step) {
    sum += exponential(cap(widen(scores[i])).value - largest);
  }
  return {largest, lanes.sum(sum)};
}

/// Sets the columns of a row outside of [begin, end) to zero.
template <class T, class Lanes>
HESSIAN_ROW_FUNCTION void clear_hidden(const Lanes& lanes, T* row, int64_t begin, int64_t end, int64_t width) {
  for (int64_t i = lanes.first; i < begin; i += lanes.step) {
    row[i] = T{};
  }
  for (int64_t i = end + lanes.first; i < width; i += lanes.step) {
    row[i] = T{};
  }
}

template <class T>
struct CappedAttentionForward {
  using Element = T;
  ScoreTile tile;
  TanhCap<Wide<T>> cap;
  T* scores;  ///< S, then A, [heads * queries, width]

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    T* const s = scores + row * tile.width;
    const int64_t begin = tile.begin(row);
    const int64_t end = tile.end(row);
    const SoftmaxNormaliser<Wide<T>> normaliser = normaliser_of(lanes, s, begin, end, cap);
    HESSIAN_SIMD
    for (int64_t i = begin + lanes.first; i < end; i += lanes.step) {
      s[i] = narrow<T>(exponential(cap(widen(s[i])).value - normaliser.largest) / normaliser.sum);
    }
    clear_hidden(lanes, s, begin, end, tile.width);
  }
};

template <class T>
struct CappedAttentionBackward {
  using Element = T;
  ScoreTile tile;
  TanhCap<Wide<T>> cap;
  T* scores;    ///< S, then A, [heads * queries, width]
  T* gradient;  ///< dA, then dS, the same

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    T* const s = scores + row * tile.width;
    T* const g = gradient + row * tile.width;
    const int64_t begin = tile.begin(row);
    const int64_t end = tile.end(row);
    const SoftmaxNormaliser<Wide<T>> normaliser = normaliser_of(lanes, s, begin, end, cap);
    Wide<T> mean = 0;
    HESSIAN_SIMD_SUM(mean)
    for (int64_t i = begin + lanes.first; i < end; i += lanes.step) {
      mean += exponential(cap(widen(s[i])).value - normaliser.largest) * widen(g[i]);
    }
    mean = lanes.sum(mean) / normaliser.sum;
    HESSIAN_SIMD
    for (int64_t i = begin + lanes.first; i < end; i += lanes.step) {
      const auto capped = cap(widen(s[i]));
      const Wide<T> weight = exponential(capped.value - normaliser.largest) / normaliser.sum;
      g[i] = narrow<T>(capped.slope * weight * (widen(g[i]) - mean));
      s[i] = narrow<T>(weight);
    }
    clear_hidden(lanes, s, begin, end, tile.width);
    clear_hidden(lanes, g, begin, end, tile.width);
  }
};

}  // namespace hessian::rows
