#include "hessian/models/config.h"

namespace hessian::models {
namespace {

GptConfig gpt2() {
  GptConfig config;
  config.activation = Activation::gelu;
  config.tied_head = true;
  return config;
}

GptConfig llama(double rope_theta) {
  GptConfig config;
  config.rope_theta = rope_theta;
  return config;
}

/// Source: Qwen2 (2024), arXiv 2407.10671, section 2.2.
GptConfig qwen2() {
  GptConfig config = llama(1e6);
  config.norm_eps = 1e-6;
  config.qkv_bias = true;
  return config;
}

/// Source: Qwen3 (2025), arXiv 2505.09388, section 2.
GptConfig qwen3() {
  GptConfig config = llama(1e6);
  config.norm_eps = 1e-6;
  config.qk_norm = QkNorm::head;
  return config;
}

/// Source: OLMo 2 (2024), arXiv 2501.00656, section 3.2.
GptConfig olmo2() {
  GptConfig config = llama(500000.0);
  config.placement = Placement::reordered;
  config.norm_eps = 1e-6;
  config.qk_norm = QkNorm::width;
  return config;
}

/// The architecture of GPT-NeoX. Source: Biderman et al. (2023), Pythia, arXiv 2304.01373, section 2.2.
GptConfig pythia() {
  GptConfig config = llama(10000.0);
  config.activation = Activation::gelu;
  config.parallel = true;
  set_all_biases(config, true);
  return config;
}

GptConfig gemma() {
  GptConfig config = llama(10000.0);
  config.placement = Placement::sandwich;
  config.activation = Activation::gelu_tanh_gate;
  config.norm_eps = 1e-6;
  config.gain_offset = 1;
  config.scaled_embedding = true;
  config.tied_head = true;
  return config;
}

/// Source: Gemma 2 (2024), arXiv 2408.00118, section 2.
GptConfig gemma2() {
  GptConfig config = gemma();
  config.window = 4096;
  config.window_pattern = "wf";
  config.attention_cap = 50;
  config.logit_cap = 30;
  return config;
}

/// Source: Gemma 3 (2025), arXiv 2503.19786, section 2.
GptConfig gemma3() {
  GptConfig config = gemma();
  config.rope_theta = 1e6;
  config.local_rope_theta = 10000.0;
  config.window = 1024;
  config.window_pattern = "wwwwwf";
  config.qk_norm = QkNorm::head;
  return config;
}

/// Source: SmolLM3 (2025), Hugging Face; layers without positions: Yang et al. (2025), arXiv 2501.18795.
GptConfig smollm3() {
  GptConfig config = llama(2e6);
  config.norm_eps = 1e-6;
  config.rope_pattern = "rrrn";
  config.tied_head = true;
  return config;
}

GptConfig defaults_of(Family family) {
  switch (family) {
    case Family::gpt2:
      return gpt2();
    case Family::llama3:
      return llama(500000.0);
    case Family::qwen2:
      return qwen2();
    case Family::qwen3:
      return qwen3();
    case Family::olmo2:
      return olmo2();
    case Family::pythia:
      return pythia();
    case Family::gemma2:
      return gemma2();
    case Family::gemma3:
      return gemma3();
    case Family::smollm3:
      return smollm3();
    case Family::llama2:
    case Family::mistral:
    case Family::phi3:
      break;
  }
  return llama(10000.0);
}

/// Returns the letter of a layer in a pattern that is repeated over the layers.
char letter_of(const std::string& pattern, int64_t layer, char otherwise) {
  return pattern.empty() ? otherwise : pattern[static_cast<std::size_t>(layer) % pattern.size()];
}

}  // namespace

GptConfig family_defaults(Family family) {
  GptConfig config = defaults_of(family);
  config.family = family;
  return config;
}

void set_all_biases(GptConfig& config, bool present) {
  config.qkv_bias = present;
  config.out_bias = present;
  config.ffn_bias = present;
  config.norm_bias = present;
}

bool has_layer_norm(Family family) {
  return family == Family::gpt2 || family == Family::pythia;
}

bool has_learned_positions(Family family) {
  return family == Family::gpt2;
}

bool is_gated(Activation activation) {
  return activation != Activation::gelu && activation != Activation::gelu_tanh;
}

bool has_window(const GptConfig& config, int64_t layer) {
  return config.window > 0 && letter_of(config.window_pattern, layer, 'w') == 'w';
}

bool has_rope(const GptConfig& config, int64_t layer) {
  return !has_learned_positions(config.family) && letter_of(config.rope_pattern, layer, 'r') == 'r';
}

}  // namespace hessian::models
