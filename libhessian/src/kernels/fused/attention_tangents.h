#pragma once

#include <cstdint>

// Tangents of causal attention on the CPU, one task per sequence, vector and key head. All products of a tile of queries
// are computed while it is in the core's cache, and keys that no query of the tile sees are skipped: those in its future
// and those before its windows. T is float or double.

namespace hessian::fused {

/// The point at which tangents are taken. Each key head is contiguous, and the query heads of a key head are stacked
/// along the rows.
template <class T>
struct AttentionPoint {
  int64_t sequences;
  int64_t kv_heads;
  int64_t group;  ///< query heads of a key head
  int64_t positions;
  int64_t head_dim;
  int64_t window;             ///< maximum number of keys that a query sees: its own and those before it
  T scale;                    ///< s
  T soft_cap;                 ///< c; read only if `tanh` is not null
  const T* queries;           ///< Q, [sequences, kv_heads, group * positions, head_dim]
  const T* keys;              ///< K, [sequences, kv_heads, positions, head_dim]
  const T* values;            ///< V, as K
  const T* weights;           ///< A, [sequences, kv_heads, group * positions, positions]
  const T* tanh;              ///< tanh(s Q K^T / c), as A; null if the scores have no soft cap
  const T* excess;            ///< Abar - <A, Abar>, as A; read by attention_vjp_tangent only
  const T* output_cotangent;  ///< Obar, as Q; likewise
};

/// Computes Odot from Qdot, Kdot and Vdot, for k vectors.
/// \param qdot, odot  [sequences, k, positions, kv_heads * group * head_dim]
/// \param kdot, vdot  [sequences, k, positions, kv_heads * head_dim]
/// \param adot        the tangent of A, [sequences, k, kv_heads, group * positions, positions]; entries of keys that a tile
///                    skips are not written
/// \param means       the means of the tangents of the capped scores, weighted by A, [sequences, k, kv_heads,
///                    group * positions]; not accessed if the scores have no soft cap
template <class T>
void attention_jvp(const AttentionPoint<T>& point, int64_t k, const T* qdot, const T* kdot, const T* vdot, T* adot,
                   T* means, T* odot);

/// Computes Qbardot, Kbardot and Vbardot from Obardot and the arguments and results of attention_jvp; same shapes.
template <class T>
void attention_vjp_tangent(const AttentionPoint<T>& point, int64_t k, const T* qdot, const T* kdot, const T* vdot,
                           const T* adot, const T* means, const T* obardot, T* qbardot, T* kbardot, T* vbardot);

}  // namespace hessian::fused
