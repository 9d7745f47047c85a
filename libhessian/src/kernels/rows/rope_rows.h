#pragma once

#include "kernels/rows/row_function.h"

namespace hessian::rows {

/// Rotates the pairs (x[2j], x[2j+1]) of a head by the angles of its position, (x, y) -> (x cos a - y sin a,
/// x sin a + y cos a), or back, as the gradient does. A row is one head of one position.
/// Source: Su et al. (2021), arXiv 2104.09864, section 3.4.2.
template <class T>
struct RotatePairs {
  using Element = T;
  const T* x;            ///< [sequences, positions, heads, head_dim]
  const Wide<T>* table;  ///< [positions, 2, head_dim / 2], cosines before sines
  bool back;
  int64_t positions;
  int64_t heads;
  int64_t head_dim;
  T* y;  ///< as x

  template <class Lanes>
  HESSIAN_ROW_FUNCTION void operator()(const Lanes& lanes, int64_t row) const {
    const int64_t pairs = head_dim / 2;
    const Wide<T>* const cosine = table + row / heads % positions * head_dim;
    const Wide<T>* const sine = cosine + pairs;
    const Wide<T> sign = back ? -1 : 1;
    const T* const in = x + row * head_dim;
    T* const out = y + row * head_dim;
    HESSIAN_SIMD
    for (int64_t j = lanes.first; j < pairs; j += lanes.step) {
      const Wide<T> even = widen(in[2 * j]);
      const Wide<T> odd = widen(in[2 * j + 1]);
      const Wide<T> turn = sign * sine[j];
      out[2 * j] = narrow<T>(even * cosine[j] - odd * turn);
      out[2 * j + 1] = narrow<T>(even * turn + odd * cosine[j]);
    }
  }
};

}  // namespace hessian::rows
