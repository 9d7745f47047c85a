#include "checkpoints/llama_weights.h"

#include <fmt/format.h>

#include "checkpoints/head_weight.h"
#include "checkpoints/rope_rows.h"

namespace hessian::models {
namespace {

void take_attention(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result) {
  const std::string from = fmt::format("model.layers.{}.self_attn.", layer);
  const std::string to = fmt::format("layers.{}.attention.", layer);
  const int64_t q_rows = config.n_heads * config.head_dim;
  const int64_t kv_rows = config.n_kv_heads * config.head_dim;
  const auto rotated = [&](const std::string& source, const std::string& target, int64_t n_heads) {
    const int64_t rows = n_heads * config.head_dim;
    add_rotated_rows(result, to + target + ".weight", tensors.take(from + source + ".weight", {rows, config.dim}),
                     n_heads, config, layer);
    if (config.qkv_bias) {
      add_rotated_rows(result, to + target + ".bias", tensors.take(from + source + ".bias", {rows}), n_heads, config,
                       layer);
    }
  };
  const auto plain = [&](const std::string& source, const std::string& target, int64_t out, int64_t in, bool bias) {
    result.add(to + target + ".weight", tensors.take(from + source + ".weight", {out, in}));
    if (bias) {
      result.add(to + target + ".bias", tensors.take(from + source + ".bias", {out}));
    }
  };
  // A gain per head has the entries of one head.
  const auto norm = [&](const std::string& name, int64_t n_heads) {
    const int64_t heads = config.qk_norm == QkNorm::head ? 1 : n_heads;
    add_rotated_rows(result, to + name + ".weight", tensors.take(from + name + ".weight", {heads * config.head_dim}),
                     heads, config, layer);
  };
  rotated("q_proj", "wq", config.n_heads);
  rotated("k_proj", "wk", config.n_kv_heads);
  plain("v_proj", "wv", kv_rows, config.dim, config.qkv_bias);
  plain("o_proj", "wo", config.dim, q_rows, config.out_bias);
  if (config.qk_norm != QkNorm::none) {
    norm("q_norm", config.n_heads);
    norm("k_norm", config.n_kv_heads);
  }
}

void take_feed_forward(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result) {
  const std::string from = fmt::format("model.layers.{}.mlp.", layer);
  const std::string to = fmt::format("layers.{}.feed_forward.", layer);
  const auto linear = [&](const std::string& source, const std::string& target, int64_t out, int64_t in) {
    result.add(to + target + ".weight", tensors.take(from + source + ".weight", {out, in}));
    if (config.ffn_bias) {
      result.add(to + target + ".bias", tensors.take(from + source + ".bias", {out}));
    }
  };
  linear("gate_proj", "w1", config.ffn_hidden_dim, config.dim);
  linear("down_proj", "w2", config.dim, config.ffn_hidden_dim);
  linear("up_proj", "w3", config.ffn_hidden_dim, config.dim);
}

}  // namespace

std::string llama_key(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") ? "" : name;
}

void take_llama_norms(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result) {
  const auto norm = [&](const char* source, const char* target) {
    result.add(fmt::format("layers.{}.{}.weight", layer, target),
               tensors.take(fmt::format("model.layers.{}.{}.weight", layer, source), {config.dim}));
  };
  switch (config.placement) {
    case Placement::sandwich:
      norm("input_layernorm", "attention_norm");
      norm("post_attention_layernorm", "attention_post_norm");
      norm("pre_feedforward_layernorm", "ffn_norm");
      norm("post_feedforward_layernorm", "ffn_post_norm");
      return;
    case Placement::reordered:
      norm("post_attention_layernorm", "attention_post_norm");
      norm("post_feedforward_layernorm", "ffn_post_norm");
      return;
    default:
      norm("input_layernorm", "attention_norm");
      norm("post_attention_layernorm", "ffn_norm");
  }
}

Parameters take_llama_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access) {
  TakenWeights result(access);
  const at::Tensor embedding = tensors.take("model.embed_tokens.weight", {config.vocab_size, config.dim});
  result.add("tok_embeddings.weight", embedding);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    take_attention(tensors, config, layer, result);
    take_feed_forward(tensors, config, layer, result);
    take_llama_norms(tensors, config, layer, result);
  }
  result.add("norm.weight", tensors.take("model.norm.weight", {config.dim}));
  take_head(tensors, "lm_head.weight", config, embedding, result);
  tensors.refuse_rest();
  return result.take();
}

}  // namespace hessian::models
