#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/vector_math.h"

namespace hessian::fused {

/// A matrix with the entry (i, j) in data[i * row + j * column].
template <class T>
struct Strided {
  const T* data;
  int64_t row;
  int64_t column;
};

/// The numbers in 64 bytes: one vector of AVX-512, two of AVX2.
template <class T>
struct Lanes64 {
  static constexpr int64_t count = 64 / sizeof(T);
  typedef T Vector __attribute__((vector_size(64)));  // an alias cannot carry the attribute in a template
};

/// Computes C[Rows, 64 bytes] += alpha A B with the sums in registers.
template <int Rows, class T>
[[gnu::always_inline]] inline void add_panel(int64_t depth, T alpha, Strided<T> a, const T* b, int64_t b_row, T* c,
                                             int64_t c_row) {
  using Vector = typename Lanes64<T>::Vector;
  Vector sums[Rows] = {};
  for (int64_t k = 0; k < depth; ++k) {
    Vector right;
    std::memcpy(&right, b + k * b_row, sizeof(right));
    for (int i = 0; i < Rows; ++i) {
      sums[i] += a.data[i * a.row + k * a.column] * right;
    }
  }
  for (int i = 0; i < Rows; ++i) {
    Vector total;
    std::memcpy(&total, c + i * c_row, sizeof(total));
    total += alpha * sums[i];
    std::memcpy(c + i * c_row, &total, sizeof(total));
  }
}

template <int Rows, class T>
[[gnu::always_inline]] inline void add_rows(int64_t columns, int64_t depth, T alpha, Strided<T> a, const T* b,
                                            int64_t b_row, T* c, int64_t c_row) {
  constexpr int64_t lanes = Lanes64<T>::count;
  int64_t j = 0;
  for (; j + lanes <= columns; j += lanes) {
    add_panel<Rows>(depth, alpha, a, b + j, b_row, c + j, c_row);
  }
  for (; j < columns; ++j) {
    for (int i = 0; i < Rows; ++i) {
      T sum = 0;
      for (int64_t k = 0; k < depth; ++k) {
        sum += a.data[i * a.row + k * a.column] * b[k * b_row + j];
      }
      c[i * c_row + j] += alpha * sum;
    }
  }
}

/// Computes C += alpha A B on one thread. Meant for tiles in a core's cache, which are so small that calling a library
/// would cost as much as the product.
/// \param a  [rows, depth], with any strides
/// \param b  [depth, columns], rows b_row apart
/// \param c  [rows, columns], rows c_row apart
/// Source: Goto & van de Geijn (2008), Anatomy of high-performance matrix multiplication, ACM TOMS 34(3), for the
/// kernel that keeps a tile of C in registers; no packing, since the operands are small.
template <class T>
[[gnu::always_inline]] inline void add_product(int64_t rows, int64_t columns, int64_t depth, T alpha, Strided<T> a,
                                               const T* b, int64_t b_row, T* c, int64_t c_row) {
  // Six rows of 64 bytes take 12 of the 16 registers of AVX2, which leaves two for B and two for A. AVX-512 has 32.
  constexpr int64_t max_rows = 6;
  int64_t i = 0;
  for (; i + max_rows <= rows; i += max_rows) {
    add_rows<max_rows>(columns, depth, alpha, {a.data + i * a.row, a.row, a.column}, b, b_row, c + i * c_row, c_row);
  }
  for (; i < rows; ++i) {
    add_rows<1>(columns, depth, alpha, {a.data + i * a.row, a.row, a.column}, b, b_row, c + i * c_row, c_row);
  }
}

}  // namespace hessian::fused
