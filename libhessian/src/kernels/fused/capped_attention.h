#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace hessian::fused {

/// Sizes and numbers of a causal attention with a soft cap on its scores.
struct CappedAttention {
  int64_t n_heads;
  int64_t n_kv_heads;
  double scale;     ///< of the scores
  double soft_cap;  ///< not zero
  int64_t window;   ///< maximum number of keys that a query sees: its own and those before it
  /// Maximum number of scores that exist at once; a tile has at least one query of one key head.
  int64_t max_scores = int64_t{1} << 24;
};

/// Computes attention with a soft cap on its scores for training, as one node of autograd. Works on tiles of queries and
/// skips the keys that none of them sees. Keeps q, k and v, and computes the weights again in the backward pass, so that
/// memory beyond a tile does not grow with the square of the number of positions. Under autocast, q, k and v are rounded
/// as for products.
/// \param q     [S, T, n_heads * h], in a precision of has_kernels_for()
/// \param k, v  [S, T, n_kv_heads * h], in the same precision
/// \return      as q
at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const CappedAttention& attention);

}  // namespace hessian::fused
