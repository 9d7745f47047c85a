#include "checkpoints/huggingface_families.h"

#include <array>
#include <optional>
#include <utility>

#include "checkpoints/huggingface_layers.h"
#include "checkpoints/huggingface_rope.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using Settings = HuggingFaceSettings;

/// An activation without and with a gate, and transformers' words for it. The words of one activation differ in rounding only.
struct ActivationWord {
  const char* word;
  std::optional<Activation> plain;
  Activation gated;
};

constexpr std::array<ActivationWord, 9> activation_words = {
    {{"silu", std::nullopt, Activation::silu_gate},
     {"swish", std::nullopt, Activation::silu_gate},
     {"gelu", Activation::gelu, Activation::gelu_gate},
     {"gelu_python", Activation::gelu, Activation::gelu_gate},
     {"gelu_new", Activation::gelu_tanh, Activation::gelu_tanh_gate},
     {"gelu_fast", Activation::gelu_tanh, Activation::gelu_tanh_gate},
     {"gelu_accurate", Activation::gelu_tanh, Activation::gelu_tanh_gate},
     {"gelu_pytorch_tanh", Activation::gelu_tanh, Activation::gelu_tanh_gate},
     {"gelu_python_tanh", Activation::gelu_tanh, Activation::gelu_tanh_gate}}};

/// \param gated  whether the feed-forward layer has a gate
Activation read_activation(const Settings& settings, const char* key, const char* fallback, bool gated) {
  const std::string word = settings.text(key, fallback);
  std::string accepted;
  for (const auto& [candidate, plain, with_gate] : activation_words) {
    if (!gated && !plain) {
      continue;
    }
    if (word == candidate) {
      return gated ? with_gate : *plain;
    }
    accepted += accepted.empty() ? candidate : std::string(", ") + candidate;
  }
  fail(settings.path(), "'{}' is {}; supported are {}", key, name_text(word), accepted);
}

/// Returns dim / n_heads, the width of a head if the configuration does not give it.
int64_t head_share(const Settings& settings, int64_t dim, int64_t n_heads) {
  if (dim % n_heads != 0) {
    fail(settings.path(), "{} heads do not divide the width of {}", n_heads, dim);
  }
  return dim / n_heads;
}

/// What absent keys mean in a family.
struct Defaults {
  int64_t max_seq_len = 0;
  double norm_eps = 1e-6;
  const char* norm_eps_key = "rms_norm_eps";
  std::optional<int64_t> n_kv_heads =
      std::nullopt;  ///< the number of query heads if there is none, or if the key is null
  std::optional<int64_t> head_dim = std::nullopt;  ///< dim / n_heads if there is none
  bool tied_head = false;
};

/// Returns the family's configuration with the sizes that config.json gives under the names of Llama.
GptConfig read_sizes(const Settings& settings, Family family, const Defaults& defaults) {
  GptConfig config = family_defaults(family);
  config.dim = settings.size("hidden_size");
  config.n_layers = settings.size("num_hidden_layers");
  config.n_heads = settings.size("num_attention_heads");
  config.n_kv_heads = settings.contains("num_key_value_heads") ? settings.size("num_key_value_heads", config.n_heads)
                                                               : defaults.n_kv_heads.value_or(config.n_heads);
  if (settings.find("head_dim") != nullptr) {
    config.head_dim = settings.size("head_dim");
  } else {
    config.head_dim = defaults.head_dim ? *defaults.head_dim : head_share(settings, config.dim, config.n_heads);
  }
  config.ffn_hidden_dim = settings.size("intermediate_size");
  config.vocab_size = settings.size("vocab_size");
  config.max_seq_len = settings.size("max_position_embeddings", defaults.max_seq_len);
  config.norm_eps = settings.positive(defaults.norm_eps_key, defaults.norm_eps);
  config.tied_head = settings.flag("tie_word_embeddings", defaults.tied_head);
  return config;
}

void read_attention_bias(const Settings& settings, bool fallback, GptConfig& config) {
  config.qkv_bias = settings.flag("attention_bias", fallback);
  config.out_bias = config.qkv_bias;
}

/// Returns a soft cap: the fallback if the key is absent, 0 (none) if it is null.
double read_cap(const Settings& settings, const char* key, double fallback) {
  if (!settings.contains(key)) {
    return fallback;
  }
  return settings.find(key) == nullptr ? 0.0 : settings.positive(key);
}

/// Reads what Gemma 2 and Gemma 3 have in common.
GptConfig read_gemma(const Settings& settings, Family family, int64_t max_seq_len) {
  GptConfig config =
      read_sizes(settings, family, {.max_seq_len = max_seq_len, .n_kv_heads = 4, .head_dim = 256, .tied_head = true});
  config.activation = read_activation(settings, "hidden_activation", "gelu_pytorch_tanh", true);
  // The first configurations say "gelu" under another key, which transformers ignores: they mean the tanh approximation.
  if (settings.find("hidden_activation") == nullptr && settings.find("hidden_act") != nullptr &&
      read_activation(settings, "hidden_act", "gelu", true) == Activation::silu_gate) {
    settings.expected("hidden_act", *settings.find("hidden_act"), "a GELU; only 'hidden_activation' selects another");
  }
  read_attention_bias(settings, false, config);
  constexpr double usual_scalar = 256;
  config.query_scalar = settings.positive("query_pre_attn_scalar", usual_scalar);
  return config;
}

}  // namespace

GptConfig read_gpt2(const Settings& settings) {
  GptConfig config = family_defaults(Family::gpt2);
  config.activation = read_activation(settings, "activation_function", "gelu_new", false);
  config.dim = settings.size("n_embd");
  config.n_layers = settings.size("n_layer");
  config.n_heads = settings.size("n_head");
  config.n_kv_heads = config.n_heads;
  config.head_dim = head_share(settings, config.dim, config.n_heads);
  config.ffn_hidden_dim = settings.size("n_inner", 4 * config.dim);
  config.vocab_size = settings.size("vocab_size");
  config.max_seq_len = settings.size("n_positions", 1024);
  config.norm_eps = settings.positive("layer_norm_epsilon", 1e-5);
  set_all_biases(config, true);
  config.tied_head = settings.flag("tie_word_embeddings", true);
  return config;
}

GptConfig read_llama(const Settings& settings) {
  constexpr double llama3_theta = 500000.0;
  GptConfig config = read_sizes(settings, Family::llama2, {.max_seq_len = 2048});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_attention_bias(settings, false, config);
  config.ffn_bias = settings.flag("mlp_bias", false);
  read_rope(settings, {}, config);
  read_uniform_window(settings, 0, config);
  config.family = config.rope_theta >= llama3_theta ? Family::llama3 : Family::llama2;
  return config;
}

GptConfig read_mistral(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::mistral, {.max_seq_len = 4096 * 32, .n_kv_heads = 8});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_rope(settings, {}, config);
  read_uniform_window(settings, 4096, config);
  return config;
}

GptConfig read_qwen2(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::qwen2, {.max_seq_len = 32768, .n_kv_heads = 32});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_rope(settings, {}, config);
  read_qwen_windows(settings, config);
  return config;
}

GptConfig read_qwen3(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::qwen3, {.max_seq_len = 32768, .n_kv_heads = 32, .head_dim = 128});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_attention_bias(settings, false, config);
  read_rope(settings, {}, config);
  read_qwen_windows(settings, config);
  return config;
}

GptConfig read_olmo2(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::olmo2, {.max_seq_len = 2048, .norm_eps = 1e-5});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_attention_bias(settings, false, config);
  read_rope(settings, {}, config);
  return config;
}

GptConfig read_gpt_neox(const Settings& settings) {
  GptConfig config =
      read_sizes(settings, Family::pythia, {.max_seq_len = 2048, .norm_eps = 1e-5, .norm_eps_key = "layer_norm_eps"});
  const int64_t share = head_share(settings, config.dim, config.n_heads);
  if (config.head_dim != share || config.n_kv_heads != config.n_heads) {
    fail(settings.path(), "has {} key/value heads of {} entries, but only {} of {} are supported", config.n_kv_heads,
         config.head_dim, config.n_heads, share);
  }
  config.activation = read_activation(settings, "hidden_act", "gelu", false);
  config.parallel = settings.flag("use_parallel_residual", true);
  read_attention_bias(settings, true, config);
  read_rope(settings, {.partial = true, .share = 0.25, .theta_key = "rotary_emb_base", .share_key = "rotary_pct"},
            config);
  return config;
}

GptConfig read_gemma2(const Settings& settings) {
  GptConfig config = read_gemma(settings, Family::gemma2, 8192);
  config.attention_cap = read_cap(settings, "attn_logit_softcapping", 50);
  config.logit_cap = read_cap(settings, "final_logit_softcapping", 30);
  read_rope(settings, {}, config);
  read_gemma_windows(settings, 2, /*configurable=*/false, config);
  return config;
}

GptConfig read_gemma3(const Settings& settings) {
  GptConfig config = read_gemma(settings, Family::gemma3, 131072);
  config.logit_cap = read_cap(settings, "final_logit_softcapping", 0);
  read_gemma3_rope(settings, config);
  read_gemma_windows(settings, 6, /*configurable=*/true, config);
  return config;
}

GptConfig read_phi3(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::phi3, {.max_seq_len = 4096, .norm_eps = 1e-5});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_rope(settings, {.partial = true, .longrope_only = true, .original_max_seq_len = 4096}, config);
  read_uniform_window(settings, 0, config);
  return config;
}

GptConfig read_smollm3(const Settings& settings) {
  GptConfig config = read_sizes(settings, Family::smollm3, {.max_seq_len = 32768, .n_kv_heads = 4, .tied_head = true});
  config.activation = read_activation(settings, "hidden_act", "silu", true);
  read_attention_bias(settings, false, config);
  config.ffn_bias = settings.flag("mlp_bias", false);
  read_rope(settings, {.theta = 2e6}, config);
  read_smollm3_layers(settings, config);
  return config;
}

}  // namespace hessian::models
