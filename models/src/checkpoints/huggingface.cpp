#include "checkpoints/huggingface.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <string_view>

#include "checkpoints/gpt2_weights.h"
#include "checkpoints/huggingface_config.h"
#include "checkpoints/huggingface_shards.h"
#include "checkpoints/taken_weights.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

Parameters take_llama_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access) {
  const int64_t dim = config.dim;
  const int64_t hidden = config.ffn_hidden_dim;
  const int64_t q_rows = config.n_heads * config.head_dim;
  const int64_t kv_rows = config.n_kv_heads * config.head_dim;

  TakenWeights result(access);
  const at::Tensor embedding = tensors.take("model.embed_tokens.weight", {config.vocab_size, dim});
  result.add("tok_embeddings.weight", embedding);
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    const std::string from = fmt::format("model.layers.{}.", layer);
    const std::string to = fmt::format("layers.{}.", layer);
    const auto take = [&](const char* source, int64_t out, int64_t in) {
      return tensors.take(from + source + ".weight", {out, in});
    };
    const auto interleaved = [](int64_t n_heads) {
      return [n_heads](const at::Tensor& weight) { return interleave_rope_rows(weight, n_heads); };
    };
    const auto q = take("self_attn.q_proj", q_rows, dim);
    const auto k = take("self_attn.k_proj", kv_rows, dim);
    result.add(to + "attention.wq.weight", q, q.sizes(), interleaved(config.n_heads));
    result.add(to + "attention.wk.weight", k, k.sizes(), interleaved(config.n_kv_heads));
    result.add(to + "attention.wv.weight", take("self_attn.v_proj", kv_rows, dim));
    result.add(to + "attention.wo.weight", take("self_attn.o_proj", dim, q_rows));
    result.add(to + "feed_forward.w1.weight", take("mlp.gate_proj", hidden, dim));
    result.add(to + "feed_forward.w2.weight", take("mlp.down_proj", dim, hidden));
    result.add(to + "feed_forward.w3.weight", take("mlp.up_proj", hidden, dim));
    result.add(to + "attention_norm.weight", tensors.take(from + "input_layernorm.weight", {dim}));
    result.add(to + "ffn_norm.weight", tensors.take(from + "post_attention_layernorm.weight", {dim}));
  }
  result.add("norm.weight", tensors.take("model.norm.weight", {dim}));
  if (config.tied_head) {
    tensors.drop_tied("lm_head.weight", embedding);
  } else {
    result.add("output.weight", tensors.take("lm_head.weight", {config.vocab_size, dim}));
  }
  tensors.refuse_rest();
  return result.take();
}

std::string llama_key(const std::string& name) {
  return name.ends_with(".rotary_emb.inv_freq") ? "" : name;
}

std::string gpt2_key(const std::string& name) {
  constexpr std::string_view root = "transformer.";
  const std::string key = name.starts_with(root) ? name.substr(root.size()) : name;
  return is_gpt2_buffer(key) ? "" : key;
}

}  // namespace

at::Tensor interleave_rope_rows(const at::Tensor& weight, int64_t n_heads) {
  if (n_heads < 1 || weight.dim() < 1 || weight.size(0) % (2 * n_heads) != 0) {
    throw std::invalid_argument(
        fmt::format("a projection {} has no {} heads of an even number of rows", shape_text(weight.sizes()), n_heads));
  }
  const int64_t half = weight.size(0) / (2 * n_heads);
  return weight.unflatten(0, {n_heads, 2, half}).transpose(1, 2).flatten(0, 2).contiguous();
}

Model load_huggingface_model(const std::string& folder, WeightAccess access) {
  const auto [architecture, config] = read_huggingface_config((std::filesystem::path(folder) / "config.json").string());
  const bool llama = architecture == Architecture::llama;
  NamedTensors tensors = read_huggingface_tensors(folder, llama ? llama_key : gpt2_key);
  const auto parameters = llama ? take_llama_weights(tensors, config, access)
                                : take_gpt2_weights(tensors, config, LinearLayout::in_out, access);
  return assemble_model(config, parameters, folder);
}

}  // namespace hessian::models
