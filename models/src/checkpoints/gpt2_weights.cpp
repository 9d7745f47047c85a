#include "checkpoints/gpt2_weights.h"

#include <ATen/ATen.h>

#include <array>
#include <string>

#include "checkpoints/head_weight.h"
#include "checkpoints/taken_weights.h"

namespace hessian::models {
namespace {

/// Takes a linear map's weight as a view [out, in].
at::Tensor take_linear(NamedTensors& tensors, const std::string& key, int64_t out, int64_t in, LinearLayout layout) {
  return layout == LinearLayout::out_in ? tensors.take(key, {out, in}) : tensors.take(key, {in, out}).t();
}

/// Adds a view [out, in] of a linear map's weight: unchanged, or transposed in memory.
void add_linear(TakenWeights& result, const std::string& name, const at::Tensor& view, LinearLayout layout) {
  if (layout == LinearLayout::out_in) {
    result.add(name, view);
  } else {
    result.add(name, view, view.sizes(), [](const at::Tensor& turned) { return turned.contiguous(); });
  }
}

void take_block(NamedTensors& tensors, const GptConfig& config, LinearLayout layout, int64_t layer,
                TakenWeights& result) {
  const std::string from = "h." + std::to_string(layer) + ".";
  const std::string to = "layers." + std::to_string(layer) + ".";
  const int64_t dim = config.dim;
  const int64_t hidden = config.ffn_hidden_dim;

  const auto norm = [&](const std::string& source, const std::string& target) {
    result.add(to + target + ".weight", tensors.take(from + source + ".weight", {dim}));
    if (config.norm_bias) {
      result.add(to + target + ".bias", tensors.take(from + source + ".bias", {dim}));
    }
  };
  const auto linear = [&](const std::string& source, const std::string& target, int64_t out, int64_t in, bool bias) {
    add_linear(result, to + target + ".weight", take_linear(tensors, from + source + ".weight", out, in, layout),
               layout);
    if (bias) {
      result.add(to + target + ".bias", tensors.take(from + source + ".bias", {out}));
    }
  };

  const std::array<const char*, 3> projections = {"attention.wq", "attention.wk", "attention.wv"};
  const at::Tensor qkv = take_linear(tensors, from + "attn.c_attn.weight", 3 * dim, dim, layout);
  const at::Tensor qkv_bias = config.qkv_bias ? tensors.take(from + "attn.c_attn.bias", {3 * dim}) : at::Tensor();
  for (std::size_t part = 0; part < projections.size(); ++part) {
    const int64_t first_row = static_cast<int64_t>(part) * dim;
    add_linear(result, to + projections[part] + ".weight", qkv.narrow(0, first_row, dim), layout);
    if (config.qkv_bias) {
      result.add(to + projections[part] + ".bias", qkv_bias.narrow(0, first_row, dim));
    }
  }
  norm("ln_1", "attention_norm");
  linear("attn.c_proj", "attention.wo", dim, dim, config.out_bias);
  norm("ln_2", "ffn_norm");
  linear("mlp.c_fc", "feed_forward.w1", hidden, dim, config.ffn_bias);
  linear("mlp.c_proj", "feed_forward.w2", dim, hidden, config.ffn_bias);
}

}  // namespace

bool is_gpt2_buffer(std::string_view key) {
  return key.ends_with(".attn.bias") || key.ends_with(".attn.masked_bias");
}

std::string gpt2_key(const std::string& name) {
  constexpr std::string_view root = "transformer.";
  const std::string key = name.starts_with(root) ? name.substr(root.size()) : name;
  return is_gpt2_buffer(key) ? "" : key;
}

Parameters take_gpt2_weights(NamedTensors& tensors, const GptConfig& config, LinearLayout layout, WeightAccess access) {
  TakenWeights result(access);
  const at::Tensor embedding = tensors.take("wte.weight", {config.vocab_size, config.dim});
  result.add("tok_embeddings.weight", embedding);
  result.add("pos_embeddings.weight", tensors.take("wpe.weight", {config.max_seq_len, config.dim}));
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    take_block(tensors, config, layout, layer, result);
  }
  result.add("norm.weight", tensors.take("ln_f.weight", {config.dim}));
  if (config.norm_bias) {
    result.add("norm.bias", tensors.take("ln_f.bias", {config.dim}));
  }
  take_head(tensors, "lm_head.weight", config, embedding, result);
  tensors.refuse_rest();
  return result.take();
}

}  // namespace hessian::models
