#include "checkpoints/neox_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "checkpoints/head_weight.h"
#include "checkpoints/rope_rows.h"
#include "checkpoints/taken_weights.h"

namespace hessian::models {
namespace {

/// Adds the three maps of query_key_value, or their biases.
/// \param stacked  [3 dim, ...]
/// \param ending   "weight" or "bias"
void add_qkv(TakenWeights& result, const at::Tensor& stacked, const std::string& to, const char* ending,
             const GptConfig& config) {
  const int64_t n_heads = config.n_heads;
  const at::Tensor heads = stacked.unflatten(0, {n_heads, 3, config.head_dim});
  std::vector<int64_t> shape = stacked.sizes().vec();
  shape.front() = config.dim;
  const auto rotated = [n_heads, rotated = config.rotated_dim](const at::Tensor& rows) {
    return interleave_rope_rows(rows.flatten(0, 1), n_heads, rotated);
  };
  const auto gathered = [](const at::Tensor& rows) { return rows.flatten(0, 1).contiguous(); };
  result.add(fmt::format("{}.wq.{}", to, ending), heads.select(1, 0), shape, rotated);
  result.add(fmt::format("{}.wk.{}", to, ending), heads.select(1, 1), shape, rotated);
  result.add(fmt::format("{}.wv.{}", to, ending), heads.select(1, 2), shape, gathered);
}

void take_layer(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result) {
  const std::string from = fmt::format("gpt_neox.layers.{}.", layer);
  const std::string to = fmt::format("layers.{}.", layer);
  const int64_t dim = config.dim;
  const int64_t hidden = config.ffn_hidden_dim;
  const auto linear = [&](const std::string& source, const std::string& target, int64_t out, int64_t in, bool bias) {
    result.add(to + target + ".weight", tensors.take(from + source + ".weight", {out, in}));
    if (bias) {
      result.add(to + target + ".bias", tensors.take(from + source + ".bias", {out}));
    }
  };
  const auto norm = [&](const std::string& source, const std::string& target) {
    result.add(to + target + ".weight", tensors.take(from + source + ".weight", {dim}));
    result.add(to + target + ".bias", tensors.take(from + source + ".bias", {dim}));
  };
  const std::string qkv = from + "attention.query_key_value.";
  add_qkv(result, tensors.take(qkv + "weight", {3 * dim, dim}), to + "attention", "weight", config);
  if (config.qkv_bias) {
    add_qkv(result, tensors.take(qkv + "bias", {3 * dim}), to + "attention", "bias", config);
  }
  linear("attention.dense", "attention.wo", dim, dim, config.out_bias);
  linear("mlp.dense_h_to_4h", "feed_forward.w1", hidden, dim, config.ffn_bias);
  linear("mlp.dense_4h_to_h", "feed_forward.w2", dim, hidden, config.ffn_bias);
  norm("input_layernorm", "attention_norm");
  norm("post_attention_layernorm", "ffn_norm");
}

constexpr const char* head_key = "embed_out.weight";

}  // namespace

std::string neox_key(const std::string& name) {
  const bool is_buffer = name.ends_with(".attention.bias") || name.ends_with(".attention.masked_bias") ||
                         name.ends_with(".rotary_emb.inv_freq");
  return is_buffer ? "" : name == "lm_head.weight" ? head_key : name;
}

Parameters take_neox_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access) {
  TakenWeights result(access);
  const at::Tensor embedding = tensors.take("gpt_neox.embed_in.weight", {config.vocab_size, config.dim});
  result.add("tok_embeddings.weight", embedding);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    take_layer(tensors, config, layer, result);
  }
  result.add("norm.weight", tensors.take("gpt_neox.final_layer_norm.weight", {config.dim}));
  result.add("norm.bias", tensors.take("gpt_neox.final_layer_norm.bias", {config.dim}));
  take_head(tensors, head_key, config, embedding, result);
  tensors.refuse_rest();
  return result.take();
}

}  // namespace hessian::models
