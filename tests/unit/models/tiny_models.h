#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <ostream>
#include <string>
#include <vector>

#include "hessian/models/model.h"

namespace hessian::models {

/// Prints a configuration in the output of a test.
inline void PrintTo(const GptConfig& config, std::ostream* out) {
  *out << to_string(config.family) << " " << to_string(config.placement);
}

}  // namespace hessian::models

namespace hessian::support {

inline std::vector<models::Family> all_families() {
  return {models::Family::gpt2, models::Family::llama2, models::Family::llama3};
}

inline std::vector<models::Placement> all_placements() {
  using models::Placement;
  return {Placement::prenorm, Placement::preqknorm, Placement::simplegpt, Placement::postnorm, Placement::sandwich};
}

/// Returns the configuration of a model small enough for finite differences: grouped queries in llama3, biases and a
/// tied head in gpt2.
inline models::GptConfig tiny_config(models::Family family, models::Placement placement) {
  const bool gpt2 = family == models::Family::gpt2;
  models::GptConfig config;
  config.family = family;
  config.placement = placement;
  config.dim = 8;
  config.n_layers = 2;
  config.n_heads = 4;
  config.n_kv_heads = family == models::Family::llama3 ? 2 : 4;
  config.head_dim = 2;
  config.ffn_hidden_dim = gpt2 ? 32 : 12;
  config.vocab_size = 19;
  config.max_seq_len = 16;
  config.rope_theta = family == models::Family::llama3 ? 500000.0 : 10000.0;
  config.bias = gpt2;
  config.tied_head = gpt2;
  config.activation = gpt2 ? models::Activation::gelu : models::Activation::silu_gate;
  return config;
}

/// Returns a name such as "llama2 prenorm".
inline std::string name_of(const models::GptConfig& config) {
  return std::string(models::to_string(config.family)) + " " + models::to_string(config.placement);
}

/// Draws random token ids [sequences, positions].
inline at::Tensor random_tokens(const models::GptConfig& config, int64_t sequences, int64_t positions, uint64_t seed) {
  return at::randint(0, config.vocab_size, {sequences, positions}, at::detail::createCPUGenerator(seed),
                     at::dtype(at::kLong));
}

/// Returns the parameters of a configuration on the meta device: shapes without memory.
inline Parameters meta_parameters(const models::GptConfig& config) {
  Parameters parameters;
  for (const models::ParameterSpec& spec : models::parameter_specs(config)) {
    parameters.add(spec.name, at::empty(spec.shape, at::device(at::kMeta).dtype(at::kFloat)));
  }
  return parameters;
}

}  // namespace hessian::support
