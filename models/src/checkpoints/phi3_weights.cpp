#include "checkpoints/phi3_weights.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "checkpoints/head_weight.h"
#include "checkpoints/llama_weights.h"
#include "checkpoints/rope_rows.h"
#include "checkpoints/taken_weights.h"

namespace hessian::models {
namespace {

void take_layer(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result) {
  const std::string from = fmt::format("model.layers.{}.", layer);
  const std::string to = fmt::format("layers.{}.", layer);
  const int64_t dim = config.dim;
  const int64_t hidden = config.ffn_hidden_dim;
  const int64_t q_rows = config.n_heads * config.head_dim;
  const int64_t kv_rows = config.n_kv_heads * config.head_dim;
  const at::Tensor qkv = tensors.take(from + "self_attn.qkv_proj.weight", {q_rows + 2 * kv_rows, dim});
  add_rotated_rows(result, to + "attention.wq.weight", qkv.narrow(0, 0, q_rows), config.n_heads, config, layer);
  add_rotated_rows(result, to + "attention.wk.weight", qkv.narrow(0, q_rows, kv_rows), config.n_kv_heads, config,
                   layer);
  result.add(to + "attention.wv.weight", qkv.narrow(0, q_rows + kv_rows, kv_rows));
  result.add(to + "attention.wo.weight", tensors.take(from + "self_attn.o_proj.weight", {dim, q_rows}));
  const at::Tensor gate_up = tensors.take(from + "mlp.gate_up_proj.weight", {2 * hidden, dim});
  result.add(to + "feed_forward.w1.weight", gate_up.narrow(0, 0, hidden));
  result.add(to + "feed_forward.w3.weight", gate_up.narrow(0, hidden, hidden));
  result.add(to + "feed_forward.w2.weight", tensors.take(from + "mlp.down_proj.weight", {dim, hidden}));
  take_llama_norms(tensors, config, layer, result);
}

}  // namespace

Parameters take_phi3_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access) {
  TakenWeights result(access);
  const at::Tensor embedding = tensors.take("model.embed_tokens.weight", {config.vocab_size, config.dim});
  result.add("tok_embeddings.weight", embedding);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    take_layer(tensors, config, layer, result);
  }
  result.add("norm.weight", tensors.take("model.norm.weight", {config.dim}));
  take_head(tensors, "lm_head.weight", config, embedding, result);
  tensors.refuse_rest();
  return result.take();
}

}  // namespace hessian::models
