#include "hessian/models/config.h"

#include <fmt/format.h>

#include <array>
#include <stdexcept>
#include <utility>

#include "gpt/architecture.h"
#include "gpt/rope.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

template <class Enum, std::size_t N>
using Words = std::array<std::pair<Enum, const char*>, N>;

constexpr Words<Family, 12> families{{{Family::gpt2, "gpt2"},
                                      {Family::llama2, "llama2"},
                                      {Family::llama3, "llama3"},
                                      {Family::mistral, "mistral"},
                                      {Family::qwen2, "qwen2"},
                                      {Family::qwen3, "qwen3"},
                                      {Family::olmo2, "olmo2"},
                                      {Family::pythia, "pythia"},
                                      {Family::gemma2, "gemma2"},
                                      {Family::gemma3, "gemma3"},
                                      {Family::phi3, "phi3"},
                                      {Family::smollm3, "smollm3"}}};
constexpr Words<Placement, 6> placements{{{Placement::prenorm, "prenorm"},
                                          {Placement::preqknorm, "preqknorm"},
                                          {Placement::simplegpt, "simplegpt"},
                                          {Placement::postnorm, "postnorm"},
                                          {Placement::sandwich, "sandwich"},
                                          {Placement::reordered, "reordered"}}};
constexpr Words<Activation, 5> activations{{{Activation::silu_gate, "silu_gate"},
                                            {Activation::gelu, "gelu"},
                                            {Activation::gelu_tanh, "gelu_tanh"},
                                            {Activation::gelu_gate, "gelu_gate"},
                                            {Activation::gelu_tanh_gate, "gelu_tanh_gate"}}};
constexpr Words<QkNorm, 3> qk_norms{{{QkNorm::none, "none"}, {QkNorm::width, "width"}, {QkNorm::head, "head"}}};
constexpr Words<RopeType, 6> rope_types{{{RopeType::plain, "default"},
                                         {RopeType::linear, "linear"},
                                         {RopeType::dynamic, "dynamic"},
                                         {RopeType::llama3, "llama3"},
                                         {RopeType::yarn, "yarn"},
                                         {RopeType::longrope, "longrope"}}};

template <class Enum, std::size_t N>
const char* word_of(const Words<Enum, N>& words, Enum value) {
  for (const auto& [candidate, word] : words) {
    if (candidate == value) {
      return word;
    }
  }
  throw std::logic_error("a value outside its enumeration");
}

template <class Enum, std::size_t N>
Enum parse_word(const Words<Enum, N>& words, const std::string& text, const std::string& what) {
  std::string accepted;
  for (const auto& [value, word] : words) {
    if (text == word) {
      return value;
    }
    accepted += accepted.empty() ? word : std::string(", ") + word;
  }
  throw std::runtime_error(name_text(text) + " is no " + what + "; known are " + accepted);
}

void check_positive(const char* name, int64_t value) {
  // Larger than in any real model, and small enough that products of two sizes stay within 64 bits.
  constexpr int64_t largest = int64_t{1} << 30;
  if (value < 1 || value > largest) {
    throw std::runtime_error(std::string(name) + " is " + std::to_string(value) + ", expected 1 to " +
                             std::to_string(largest));
  }
}

void check_norms(const GptConfig& config) {
  const std::string family = to_string(config.family);
  if (!(config.norm_eps >= 0)) {
    throw std::runtime_error(fmt::format("norm_eps is {}, expected 0 or more", config.norm_eps));
  }
  if (config.norm_bias && !has_layer_norm(config.family)) {
    throw std::runtime_error("norm_bias is true, but " + family + " has RMSNorms, which have no bias");
  }
  if (config.placement == Placement::preqknorm && config.qk_norm != QkNorm::none) {
    throw std::runtime_error("preqknorm would normalise q and k of " + family + " twice: its own norms do so already");
  }
  if (config.placement == Placement::postnorm && config.parallel) {
    throw std::runtime_error("postnorm needs attention and feed-forward one after the other, but " + family +
                             " computes them in parallel");
  }
}

void check_positions(const GptConfig& config) {
  if (has_learned_positions(config.family)) {
    return;
  }
  const int64_t rotated = config.rotated_dim == 0 ? config.head_dim : config.rotated_dim;
  if (rotated < 2 || rotated % 2 != 0 || rotated > config.head_dim) {
    throw std::runtime_error(
        config.rotated_dim == 0
            ? fmt::format("head_dim is {}, RoPE needs an even one", config.head_dim)
            : fmt::format("rotated_dim is {}, expected an even number up to head_dim {}", rotated, config.head_dim));
  }
  if (!(config.rope_theta > 0) || !(config.local_rope_theta >= 0)) {
    throw std::runtime_error(
        fmt::format("rope_theta is {} and local_rope_theta is {}, expected a positive number and one "
                    "that is not negative",
                    config.rope_theta, config.local_rope_theta));
  }
  check_rope_scaling(config);
}

/// Checks a pattern of layers: one letter per layer, one of two.
void check_pattern(const char* name, const std::string& pattern, const char* letters) {
  if (pattern.find_first_not_of(letters) != std::string::npos) {
    throw std::runtime_error(
        fmt::format("{} is {}, expected the letters {} and {}", name, name_text(pattern), letters[0], letters[1]));
  }
}

void check_patterns(const GptConfig& config) {
  check_pattern("rope_pattern", config.rope_pattern, "rn");
  check_pattern("window_pattern", config.window_pattern, "wf");
  if (config.window < 0) {
    throw std::runtime_error(fmt::format("window is {}, expected 0 or more", config.window));
  }
}

}  // namespace

const char* to_string(Family family) {
  return word_of(families, family);
}
const char* to_string(Placement placement) {
  return word_of(placements, placement);
}
const char* to_string(Activation activation) {
  return word_of(activations, activation);
}
const char* to_string(QkNorm norm) {
  return word_of(qk_norms, norm);
}
const char* to_string(RopeType type) {
  return word_of(rope_types, type);
}

Family parse_family(const std::string& word) {
  return parse_word(families, word, "model family");
}
Placement parse_placement(const std::string& word) {
  return parse_word(placements, word, "norm placement");
}
Activation parse_activation(const std::string& word) {
  return parse_word(activations, word, "activation");
}
QkNorm parse_qk_norm(const std::string& word) {
  return parse_word(qk_norms, word, "norm of queries and keys");
}
RopeType parse_rope_type(const std::string& word) {
  return parse_word(rope_types, word, "type of RoPE");
}

std::vector<ParameterSpec> parameter_specs(const GptConfig& config) {
  std::vector<ParameterSpec> specs;
  const auto add = [&specs](Stage stage) {
    specs.insert(specs.end(), std::make_move_iterator(stage.parameters.begin()),
                 std::make_move_iterator(stage.parameters.end()));
  };
  add(describe_embedding(config));
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    add(describe_layer(config, layer));
  }
  add(describe_logits(config));
  return specs;
}

int64_t parameter_count(const GptConfig& config) {
  int64_t count = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    int64_t size = 1;
    for (const int64_t extent : spec.shape) {
      size *= extent;
    }
    count += size;
  }
  return count;
}

int64_t swiglu_hidden_dim(int64_t dim, std::optional<double> multiplier, int64_t multiple_of) {
  auto hidden = 2 * (4 * dim) / 3;
  if (multiplier) {
    hidden = static_cast<int64_t>(*multiplier * static_cast<double>(hidden));
  }
  return (hidden + multiple_of - 1) / multiple_of * multiple_of;
}

void validate(const GptConfig& config) {
  check_positive("dim", config.dim);
  check_positive("n_layers", config.n_layers);
  check_positive("n_heads", config.n_heads);
  check_positive("n_kv_heads", config.n_kv_heads);
  check_positive("head_dim", config.head_dim);
  check_positive("ffn_hidden_dim", config.ffn_hidden_dim);
  check_positive("vocab_size", config.vocab_size);
  check_positive("max_seq_len", config.max_seq_len);
  if (config.n_layers > 10000) {
    throw std::runtime_error("n_layers is " + std::to_string(config.n_layers) + ", expected 10000 at most");
  }
  if (config.n_heads % config.n_kv_heads != 0) {
    throw std::runtime_error("n_kv_heads " + std::to_string(config.n_kv_heads) + " does not divide n_heads " +
                             std::to_string(config.n_heads));
  }
  check_norms(config);
  check_positions(config);
  check_patterns(config);
  if (!(config.attention_cap >= 0) || !(config.logit_cap >= 0) || !(config.query_scalar >= 0)) {
    throw std::runtime_error(fmt::format("attention_cap {}, logit_cap {} and query_scalar {} must not be negative",
                                         config.attention_cap, config.logit_cap, config.query_scalar));
  }
}

}  // namespace hessian::models
