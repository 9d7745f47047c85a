#include "kernels/fused/attention_tangents.h"

#include <algorithm>
#include <vector>

#include "kernels/fused/tile_product.h"
#include "kernels/parallel.h"
#include "kernels/rows/softmax_rows.h"

// With the scores S, their scale s and cotangent Sbar, and e = Abar - <A, Abar>, so that Sbar = A e:
//   Sdot = s (Qdot K^T + Q Kdot^T)            Adot = A (Sdot - <A, Sdot>)       Odot = Adot V + A Vdot
//   Abardot = Obardot V^T + Obar Vdot^T       Sbardot = Adot e + A (Abardot - <Adot, e> - <A, Abardot>)
//   Qbardot = s (Sbardot K + Sbar Kdot)       Kbardot = s (Sbardot^T Q + Sbar^T Qdot)
//   Vbardot = Adot^T Obar + A^T Obardot
// With a soft cap, Sdot and Sbardot above are those of the scores before the cap: see softmax_rows.h for the two lines that
// change. A query's keys outside of its window have weight zero, so that all terms with them are zero.
// Source: Dao et al. (2022), FlashAttention, arXiv 2205.14135, for the tiles; the tangents follow by the product rule.

namespace hessian::fused {
namespace {

/// Returns the number of rows of a tile, small enough that its [rows, positions] buffers fit into the second-level
/// cache.
int64_t tile_rows(int64_t positions) {
  return positions <= 256 ? 48 : 24;
}

/// Returns the length of the rows of buffers, padded so that rows do not map to the same cache lines.
int64_t padded(int64_t positions) {
  return positions + 16;
}

/// One head of a tensor whose rows contain several heads.
template <class T>
struct Head {
  const T* data;
  int64_t row;
};

/// Copies the rows of a head to contiguous memory, [positions, head_dim].
template <class T>
[[gnu::always_inline]] inline void gather(Head<T> head, int64_t positions, int64_t head_dim, T* to) {
  for (int64_t t = 0; t < positions; ++t) {
    std::copy_n(head.data + t * head.row, head_dim, to + t * head_dim);
  }
}

/// Transposes a head in panels of 64 bytes, as the right factor of a product with all positions.
template <class T>
[[gnu::always_inline]] inline void transpose(Head<T> head, int64_t positions, int64_t head_dim, T* to) {
  constexpr int64_t lanes = Lanes64<T>::count;
  for (int64_t t = 0; t < positions; ++t) {
    T* const panel = to + t / lanes * lanes * head_dim + t % lanes;
    for (int64_t d = 0; d < head_dim; ++d) {
      panel[d * lanes] = head.data[t * head.row + d];
    }
  }
}

/// Returns the number of entries that transpose() writes.
template <class T>
int64_t transposed_size(int64_t positions, int64_t head_dim) {
  constexpr int64_t lanes = Lanes64<T>::count;
  return (positions + lanes - 1) / lanes * lanes * head_dim;
}

/// Computes C[rows, columns] += alpha A B^T with B as written by transpose().
template <class T>
[[gnu::always_inline]] inline void add_product_with_transposed(int64_t rows, int64_t columns, int64_t head_dim, T alpha,
                                                               Head<T> a, const T* b, T* c, int64_t c_row) {
  constexpr int64_t lanes = Lanes64<T>::count;
  for (int64_t j = 0; j < columns; j += lanes) {
    add_product(rows, std::min(lanes, columns - j), head_dim, alpha, Strided<T>{a.data, a.row, 1}, b + j * head_dim,
                lanes, c + j, c_row);
  }
}

/// One task: a sequence, a vector and a key head.
struct Task {
  int64_t head;      ///< index into the point: sequence * kv_heads + key head
  int64_t pair;      ///< index into the tangents: sequence * k + vector
  int64_t key_head;  ///< its columns in the tangents
};

template <class T, class Body>
void for_each_task(const AttentionPoint<T>& point, int64_t k, const Body& body) {
  for_each_tile({point.sequences * k * point.kv_heads, 1}, [&](int64_t index) {
    const int64_t key_head = index % point.kv_heads;
    const int64_t pair = index / point.kv_heads;
    body(Task{pair / k * point.kv_heads + key_head, pair, key_head});
  });
}

/// Returns the offset of a task's head in a tangent that has `group` heads per key head.
template <class T>
int64_t head_offset(const AttentionPoint<T>& point, const Task& task, int64_t group, int64_t member) {
  return task.pair * point.positions * point.kv_heads * group * point.head_dim +
         (task.key_head * group + member) * point.head_dim;
}

/// Queries of one head that are processed together.
struct QueryTile {
  int64_t rows;
  int64_t first_key;    ///< no query sees an earlier key; the first of a panel of transpose()
  int64_t seen;         ///< number of keys from first_key to the last query's own
  int64_t q_offset;     ///< of the first query in a tangent of the queries, where rows are q_row() apart
  int64_t point_row;    ///< of the first query among the point's queries and rows of weights
  int64_t tangent_row;  ///< of the first query among the rows of tangents of weights
};

/// Returns the distance between rows of a tangent of the queries.
template <class T>
int64_t q_row(const AttentionPoint<T>& point) {
  return point.kv_heads * point.group * point.head_dim;
}

/// Calls body for each tile of each query head of a task.
template <class T, class Body>
[[gnu::always_inline]] inline void for_each_query_tile(const AttentionPoint<T>& point, const Task& task,
                                                       const Body& body) {
  constexpr int64_t lanes = Lanes64<T>::count;
  const int64_t positions = point.positions;
  const int64_t max_rows = tile_rows(positions);
  for (int64_t member = 0; member < point.group; ++member) {
    for (int64_t first = 0; first < positions; first += max_rows) {
      const int64_t rows = std::min(max_rows, positions - first);
      const int64_t within_head = member * positions + first;
      const int64_t first_key = std::max<int64_t>(0, first + 1 - point.window) / lanes * lanes;
      body(QueryTile{rows, first_key, first + rows - first_key,
                     head_offset(point, task, point.group, member) + first * q_row(point),
                     task.head * point.group * positions + within_head,
                     (task.pair * point.kv_heads + task.key_head) * point.group * positions + within_head});
    }
  }
}

template <class T>
class JvpTask {
 public:
  JvpTask(const AttentionPoint<T>& point, const Task& task)
      : point_(point),
        task_(task),
        keys_(static_cast<std::size_t>(transposed_size<T>(point.positions, point.head_dim))),
        kdot_(keys_.size()),
        vdot_(static_cast<std::size_t>(point.positions * point.head_dim)) {}

  [[gnu::always_inline]] inline void run(const T* qdot, const T* kdot, const T* vdot, T* adot, T* means, T* odot) {
    const int64_t positions = point_.positions;
    const int64_t width = point_.head_dim;
    const int64_t kv_row = point_.kv_heads * width;
    const int64_t kv_offset = head_offset(point_, task_, 1, 0);
    transpose<T>({point_.keys + task_.head * positions * width, width}, positions, width, keys_.data());
    transpose<T>({kdot + kv_offset, kv_row}, positions, width, kdot_.data());
    gather<T>({vdot + kv_offset, kv_row}, positions, width, vdot_.data());
    for_each_query_tile(
        point_,
        task_, [&](const QueryTile& tile) __attribute__((always_inline)) { run(tile, qdot, adot, means, odot); });
  }

 private:
  [[gnu::always_inline]] inline void run(const QueryTile& tile, const T* qdot_all, T* adot_all, T* means, T* odot_all) {
    const auto [rows, first_key, seen, q_offset, point_row, tangent_row] = tile;
    const int64_t positions = point_.positions;
    const int64_t width = point_.head_dim;
    const int64_t q_pitch = q_row(point_);
    const T scale = point_.scale;
    const int64_t point_begin = point_row * positions + first_key;
    const T* const a = point_.weights + point_begin;
    T* const adot = adot_all + tangent_row * positions + first_key;
    T* const odot = odot_all + q_offset;

    for (int64_t i = 0; i < rows; ++i) {
      std::fill_n(adot + i * positions, seen, T{0});
      std::fill_n(odot + i * q_pitch, width, T{0});
    }
    add_product_with_transposed<T>(rows, seen, width, scale, {qdot_all + q_offset, q_pitch},
                                   keys_.data() + first_key * width, adot, positions);
    add_product_with_transposed<T>(rows, seen, width, scale, {point_.queries + point_row * width, width},
                                   kdot_.data() + first_key * width, adot, positions);
    if (point_.tanh == nullptr) {
      const rows::SoftmaxJvp<T> softmax{a, seen, positions, {1, rows}, adot};
      for (int64_t i = 0; i < rows; ++i) {
        softmax(rows::OneLane{}, i);
      }
    } else {
      const rows::CappedSoftmaxJvp<T> softmax{a,    point_.tanh + point_begin, seen, positions, {1, rows},
                                              adot, means + tangent_row};
      for (int64_t i = 0; i < rows; ++i) {
        softmax(rows::OneLane{}, i);
      }
    }
    add_product<T>(rows, width, seen, 1, {adot, positions, 1},
                   point_.values + (task_.head * positions + first_key) * width, width, odot, q_pitch);
    add_product<T>(rows, width, seen, 1, {a, positions, 1}, vdot_.data() + first_key * width, width, odot, q_pitch);
  }

  const AttentionPoint<T>& point_;
  Task task_;
  std::vector<T> keys_;
  std::vector<T> kdot_;
  std::vector<T> vdot_;
};

template <class T>
struct Cotangents {
  T* q;
  T* k;
  T* v;
};

template <class T>
class VjpTangentTask {
 public:
  VjpTangentTask(const AttentionPoint<T>& point, const Task& task)
      : point_(point),
        task_(task),
        values_(static_cast<std::size_t>(transposed_size<T>(point.positions, point.head_dim))),
        vdot_(values_.size()),
        kdot_(static_cast<std::size_t>(point.positions * point.head_dim)),
        kbardot_(kdot_.size()),
        vbardot_(kdot_.size()) {
    const auto tile_size = static_cast<std::size_t>(tile_rows(point.positions) * padded(point.positions));
    for (auto* const buffer : {&weights_, &adot_, &scores_cotangent_, &tangent_}) {
      buffer->resize(tile_size);
    }
    for (auto* const buffer : {&qdot_, &obardot_}) {
      buffer->resize(static_cast<std::size_t>(tile_rows(point.positions) * point.head_dim));
    }
  }

  [[gnu::always_inline]] inline void run(const T* qdot, const T* kdot, const T* vdot, const T* adot, const T* means,
                                         const T* obardot, Cotangents<T> out) {
    const int64_t positions = point_.positions;
    const int64_t width = point_.head_dim;
    const int64_t kv_row = point_.kv_heads * width;
    const int64_t kv_offset = head_offset(point_, task_, 1, 0);
    transpose<T>({point_.values + task_.head * positions * width, width}, positions, width, values_.data());
    transpose<T>({vdot + kv_offset, kv_row}, positions, width, vdot_.data());
    gather<T>({kdot + kv_offset, kv_row}, positions, width, kdot_.data());
    for_each_query_tile(
        point_, task_, [&](const QueryTile& tile) __attribute__((always_inline)) {
          run(tile, qdot, adot, means, obardot, out.q);
        });
    for (int64_t t = 0; t < positions; ++t) {
      std::copy_n(kbardot_.data() + t * width, width, out.k + kv_offset + t * kv_row);
      std::copy_n(vbardot_.data() + t * width, width, out.v + kv_offset + t * kv_row);
    }
  }

 private:
  [[gnu::always_inline]] inline void run(const QueryTile& tile, const T* qdot_all, const T* adot_all, const T* means,
                                         const T* obardot_all, T* qbardot_all) {
    const auto [rows, first_key, seen, q_offset, point_row, tangent_row] = tile;
    const int64_t positions = point_.positions;
    const int64_t width = point_.head_dim;
    const int64_t pitch = padded(positions);
    const int64_t q_pitch = q_row(point_);
    const T scale = point_.scale;
    const T* const queries = point_.queries + point_row * width;
    const T* const obar = point_.output_cotangent + point_row * width;
    const int64_t key_begin = first_key * width;
    const T* const keys = point_.keys + task_.head * positions * width + key_begin;
    T* const kbardot = kbardot_.data() + key_begin;
    T* const vbardot = vbardot_.data() + key_begin;
    T* const qbardot = qbardot_all + q_offset;
    gather<T>({qdot_all + q_offset, q_pitch}, rows, width, qdot_.data());
    gather<T>({obardot_all + q_offset, q_pitch}, rows, width, obardot_.data());

    for (int64_t i = 0; i < rows; ++i) {
      std::fill_n(qbardot + i * q_pitch, width, T{0});
      std::fill_n(tangent_.data() + i * pitch, seen, T{0});
    }
    add_product_with_transposed<T>(rows, seen, width, 1, {obardot_.data(), width}, values_.data() + key_begin,
                                   tangent_.data(), pitch);
    add_product_with_transposed<T>(rows, seen, width, 1, {obar, width}, vdot_.data() + key_begin, tangent_.data(),
                                   pitch);
    for (int64_t i = 0; i < rows; ++i) {
      const Row row{(point_row + i) * positions + first_key, adot_all + (tangent_row + i) * positions + first_key, seen,
                    i * pitch};
      if (point_.tanh == nullptr) {
        differentiate(row);
      } else {
        differentiate_capped(row, means + tangent_row + i);
      }
    }
    add_product<T>(rows, width, seen, scale, {tangent_.data(), pitch, 1}, keys, width, qbardot, q_pitch);
    add_product<T>(rows, width, seen, scale, {scores_cotangent_.data(), pitch, 1}, kdot_.data() + key_begin, width,
                   qbardot, q_pitch);
    add_product<T>(seen, width, rows, scale, {tangent_.data(), 1, pitch}, queries, width, kbardot, width);
    add_product<T>(seen, width, rows, scale, {scores_cotangent_.data(), 1, pitch}, qdot_.data(), width, kbardot, width);
    add_product<T>(seen, width, rows, 1, {adot_.data(), 1, pitch}, obar, width, vbardot, width);
    add_product<T>(seen, width, rows, 1, {weights_.data(), 1, pitch}, obardot_.data(), width, vbardot, width);
  }

  /// The keys of one query.
  struct Row {
    int64_t point_begin;  ///< offset into the point's weights
    const T* adot;
    int64_t seen;
    int64_t begin;  ///< offset into the buffers of the tile
  };

  /// Replaces a row of Abardot by Sbardot, and copies the rows that the products read by columns to the buffers.
  [[gnu::always_inline]] inline void differentiate(const Row& row) {
    const T* const a = point_.weights + row.point_begin;
    const T* const excess = point_.excess + row.point_begin;
    rows::SoftmaxVjpTangent<T>{a, excess, row.seen, row.seen, {1, 1}, row.adot, tangent_.data() + row.begin}(
        rows::OneLane{}, 0);
    T* const sbar = scores_cotangent_.data() + row.begin;
    T* const a_copy = weights_.data() + row.begin;
    T* const adot_copy = adot_.data() + row.begin;
#pragma omp simd
    for (int64_t j = 0; j < row.seen; ++j) {
      sbar[j] = a[j] * excess[j];
      a_copy[j] = a[j];
      adot_copy[j] = row.adot[j];
    }
  }

  /// Does the same for scores with a soft cap.
  [[gnu::always_inline]] inline void differentiate_capped(const Row& row, const T* mean) {
    const T* const a = point_.weights + row.point_begin;
    const T* const excess = point_.excess + row.point_begin;
    const T* const t = point_.tanh + row.point_begin;
    rows::CappedSoftmaxVjpTangent<T>{
        a, excess, t, point_.soft_cap, row.seen, row.seen, {1, 1}, row.adot, mean, tangent_.data() + row.begin}(
        rows::OneLane{}, 0);
    T* const sbar = scores_cotangent_.data() + row.begin;
    T* const a_copy = weights_.data() + row.begin;
    T* const adot_copy = adot_.data() + row.begin;
#pragma omp simd
    for (int64_t j = 0; j < row.seen; ++j) {
      sbar[j] = (1 - t[j] * t[j]) * a[j] * excess[j];
      a_copy[j] = a[j];
      adot_copy[j] = row.adot[j];
    }
  }

  const AttentionPoint<T>& point_;
  Task task_;
  std::vector<T> values_;
  std::vector<T> vdot_;
  std::vector<T> kdot_;
  std::vector<T> kbardot_;
  std::vector<T> vbardot_;
  std::vector<T> weights_;
  std::vector<T> adot_;
  std::vector<T> scores_cotangent_;
  std::vector<T> tangent_;
  std::vector<T> qdot_;
  std::vector<T> obardot_;
};

}  // namespace

template <class T>
void attention_jvp(const AttentionPoint<T>& point, int64_t k, const T* qdot, const T* kdot, const T* vdot, T* adot,
                   T* means, T* odot) {
  for_each_task(point, k, [&](const Task& task) {
    JvpTask<T> work(point, task);
    with_widest_vectors([&]() __attribute__((always_inline)) { work.run(qdot, kdot, vdot, adot, means, odot); });
  });
}

template <class T>
void attention_vjp_tangent(const AttentionPoint<T>& point, int64_t k, const T* qdot, const T* kdot, const T* vdot,
                           const T* adot, const T* means, const T* obardot, T* qbardot, T* kbardot, T* vbardot) {
  for_each_task(point, k, [&](const Task& task) {
    VjpTangentTask<T> work(point, task);
    with_widest_vectors([&]() __attribute__((always_inline)) {
      work.run(qdot, kdot, vdot, adot, means, obardot, {qbardot, kbardot, vbardot});
    });
  });
}

template void attention_jvp(const AttentionPoint<float>&, int64_t, const float*, const float*, const float*, float*,
                            float*, float*);
template void attention_jvp(const AttentionPoint<double>&, int64_t, const double*, const double*, const double*,
                            double*, double*, double*);
template void attention_vjp_tangent(const AttentionPoint<float>&, int64_t, const float*, const float*, const float*,
                                    const float*, const float*, const float*, float*, float*, float*);
template void attention_vjp_tangent(const AttentionPoint<double>&, int64_t, const double*, const double*, const double*,
                                    const double*, const double*, const double*, double*, double*, double*);

}  // namespace hessian::fused
