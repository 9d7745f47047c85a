#include "hessian/models/config.h"

#include <array>
#include <stdexcept>
#include <utility>

#include "gpt/architecture.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

template <class Enum, std::size_t N>
using Words = std::array<std::pair<Enum, const char*>, N>;

constexpr Words<Family, 3> families{{{Family::gpt2, "gpt2"}, {Family::llama2, "llama2"}, {Family::llama3, "llama3"}}};
constexpr Words<Placement, 5> placements{{{Placement::prenorm, "prenorm"},
                                          {Placement::preqknorm, "preqknorm"},
                                          {Placement::simplegpt, "simplegpt"},
                                          {Placement::postnorm, "postnorm"},
                                          {Placement::sandwich, "sandwich"}}};
constexpr Words<Activation, 3> activations{
    {{Activation::silu_gate, "silu_gate"}, {Activation::gelu, "gelu"}, {Activation::gelu_tanh, "gelu_tanh"}}};

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

Family parse_family(const std::string& word) {
  return parse_word(families, word, "model family");
}
Placement parse_placement(const std::string& word) {
  return parse_word(placements, word, "norm placement");
}
Activation parse_activation(const std::string& word) {
  return parse_word(activations, word, "activation");
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
  if (config.family != Family::gpt2 && config.head_dim % 2 != 0) {
    throw std::runtime_error("head_dim is " + std::to_string(config.head_dim) + ", RoPE needs an even one");
  }
  if (config.family != Family::gpt2 && config.bias) {
    throw std::runtime_error(std::string("bias is true, which ") + to_string(config.family) + " does not have");
  }
  if (!(config.norm_eps >= 0) || !(config.rope_theta > 0)) {
    throw std::runtime_error("norm_eps " + std::to_string(config.norm_eps) + " must not be negative and rope_theta " +
                             std::to_string(config.rope_theta) + " must be positive");
  }
}

}  // namespace hessian::models
