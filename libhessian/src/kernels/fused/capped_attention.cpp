#include "kernels/fused/capped_attention.h"

#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/fused/dispatch.h"
#include "kernels/fused/functions.h"
#include "kernels/rows/attention_rows.h"
#include "kernels/rows/run_rows.h"

namespace hessian::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

/// Reshapes [S, T, n_kv_heads * group * h] to [S * n_kv_heads, group, T, h].
at::Tensor heads_of(const at::Tensor& x, int64_t n_kv_heads, int64_t group) {
  return x.unflatten(-1, {n_kv_heads, group, -1}).permute({0, 2, 3, 1, 4}).flatten(0, 1);
}

/// Reshapes back.
at::Tensor joined(const at::Tensor& heads, int64_t n_kv_heads) {
  return heads.unflatten(0, {-1, n_kv_heads}).permute({0, 3, 1, 2, 4}).flatten(2);
}

/// Some queries of some key heads, and the keys that they see.
struct Tile {
  int64_t first_head;
  int64_t heads;
  int64_t first_query;
  int64_t queries;
  int64_t first_key;
  int64_t keys;

  /// Returns the queries of a tensor of heads, [heads, group * queries, h].
  at::Tensor queries_in(const at::Tensor& x) const {
    return x.narrow(0, first_head, heads).narrow(2, first_query, queries).flatten(1, 2);
  }
  /// Returns the keys of a tensor of heads, as a view [heads, keys, h].
  at::Tensor keys_in(const at::Tensor& x) const {
    return x.narrow(0, first_head, heads).select(1, 0).narrow(1, first_key, keys);
  }
  /// Stores [heads, group * queries, h] in a tensor of heads.
  void store(const at::Tensor& rows, const at::Tensor& x) const {
    x.narrow(0, first_head, heads).narrow(2, first_query, queries).copy_(rows.unflatten(1, {-1, queries}));
  }
};

template <class Body>
void for_each_tile_of(const CappedAttention& attention, const at::Tensor& queries, const Body& body) {
  const int64_t all_heads = queries.size(0);
  const int64_t group = queries.size(1);
  const int64_t positions = queries.size(2);
  const int64_t max_queries = std::clamp<int64_t>(attention.max_scores / (group * positions), 1, positions);
  const int64_t max_heads = std::max<int64_t>(1, attention.max_scores / (group * positions * max_queries));
  for (int64_t head = 0; head < all_heads; head += max_heads) {
    for (int64_t query = 0; query < positions; query += max_queries) {
      const int64_t count = std::min(max_queries, positions - query);
      const int64_t first_key = std::max<int64_t>(0, query + 1 - attention.window);
      body(Tile{head, std::min(max_heads, all_heads - head), query, count, first_key, query + count - first_key});
    }
  }
}

/// Computes the scores of a tile, [heads, group * queries, keys].
at::Tensor scores_of(const CappedAttention& attention, const at::Tensor& queries, const at::Tensor& keys) {
  return at::matmul(queries * attention.scale, keys.transpose(1, 2));
}

rows::ScoreTile shape_of(const Tile& tile, const CappedAttention& attention) {
  return {tile.queries, tile.keys, tile.first_query - tile.first_key, attention.window};
}

struct CappedAttentionFunction : Function<CappedAttentionFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const CappedAttention& attention) {
    const int64_t kv_heads = attention.n_kv_heads;
    const at::Tensor queries = heads_of(q, kv_heads, attention.n_heads / kv_heads);
    const at::Tensor keys = heads_of(k, kv_heads, 1);
    const at::Tensor values = heads_of(v, kv_heads, 1);
    at::Tensor result = at::empty_like(queries);
    for_each_tile_of(attention, queries, [&](const Tile& tile) {
      const at::Tensor weights = scores_of(attention, tile.queries_in(queries), tile.keys_in(keys));
      for_type_of(weights, [&]<class T>(T) {
        const rows::CappedAttentionForward<T> pass{
            shape_of(tile, attention), {static_cast<Wide<T>>(attention.soft_cap)}, weights.data_ptr<T>()};
        rows::run_over_last_axis(pass, weights);
      });
      tile.store(at::matmul(weights, tile.keys_in(values)), result);
    });
    ctx->save_for_backward({q, k, v});
    ctx->saved_data["heads"] =
        std::vector<int64_t>{attention.n_heads, kv_heads, attention.window, attention.max_scores};
    ctx->saved_data["scale"] = attention.scale;
    ctx->saved_data["soft_cap"] = attention.soft_cap;
    return joined(result, kv_heads);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("capped attention");
    const tensor_list saved = ctx->get_saved_variables();
    const std::vector<int64_t> sizes = ctx->saved_data["heads"].toIntVector();
    const CappedAttention attention{
        sizes[0], sizes[1], ctx->saved_data["scale"].toDouble(), ctx->saved_data["soft_cap"].toDouble(),
        sizes[2], sizes[3]};
    const int64_t kv_heads = attention.n_kv_heads;
    const at::Tensor queries = heads_of(saved[0], kv_heads, attention.n_heads / kv_heads);
    const at::Tensor keys = heads_of(saved[1], kv_heads, 1);
    const at::Tensor values = heads_of(saved[2], kv_heads, 1);
    const at::Tensor output_gradient = heads_of(gradients[0], kv_heads, attention.n_heads / kv_heads);
    const at::Tensor dq = at::empty_like(queries);
    // Tiles add to the gradients of the keys and values that they share, in the precision of sums.
    const at::Tensor dk = at::zeros(keys.sizes(), keys.options().dtype(wide_type(keys)));
    const at::Tensor dv = at::zeros_like(dk);
    for_each_tile_of(attention, queries, [&](const Tile& tile) {
      const at::Tensor q = tile.queries_in(queries);
      const at::Tensor k = tile.keys_in(keys);
      const at::Tensor dy = tile.queries_in(output_gradient);
      const at::Tensor weights = scores_of(attention, q, k);
      const at::Tensor dscores = at::matmul(dy, tile.keys_in(values).transpose(1, 2));
      for_type_of(weights, [&]<class T>(T) {
        const rows::CappedAttentionBackward<T> pass{shape_of(tile, attention),
                                                    {static_cast<Wide<T>>(attention.soft_cap)},
                                                    weights.data_ptr<T>(),
                                                    dscores.data_ptr<T>()};
        rows::run_over_last_axis(pass, weights);
      });
      tile.store(at::matmul(dscores, k) * attention.scale, dq);
      tile.keys_in(dk).add_(at::matmul(dscores.transpose(1, 2), q * attention.scale));
      tile.keys_in(dv).add_(at::matmul(weights.transpose(1, 2), dy));
    });
    const auto type = saved[0].scalar_type();
    return {joined(dq, kv_heads), joined(dk, kv_heads).to(type), joined(dv, kv_heads).to(type), at::Tensor()};
  }
};

}  // namespace

at::Tensor capped_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const CappedAttention& attention) {
  return CappedAttentionFunction::apply(for_products(q), for_products(k), for_products(v), attention);
}

}  // namespace hessian::fused
