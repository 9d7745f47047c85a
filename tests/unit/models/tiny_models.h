#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <ostream>
#include <stdexcept>
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
  using models::Family;
  return {Family::gpt2,  Family::llama2, Family::llama3, Family::mistral, Family::qwen2, Family::qwen3,
          Family::olmo2, Family::pythia, Family::gemma2, Family::gemma3,  Family::phi3,  Family::smollm3};
}

inline std::vector<models::Placement> all_placements() {
  using models::Placement;
  return {Placement::prenorm,  Placement::preqknorm, Placement::simplegpt,
          Placement::postnorm, Placement::sandwich,  Placement::reordered};
}

/// Returns the configuration of a model small enough for finite differences, with what is peculiar to the family: biases
/// and a tied head in gpt2, grouped queries in llama3, windows shorter than the tests' sequences in mistral, and so on.
inline models::GptConfig tiny_config(models::Family family, models::Placement placement) {
  using models::Family;
  models::GptConfig config = models::family_defaults(family);
  config.placement = placement;
  config.dim = 8;
  config.n_layers = 2;
  config.n_heads = 4;
  config.n_kv_heads = 4;
  config.head_dim = 2;
  config.ffn_hidden_dim = is_gated(config.activation) ? 12 : 32;
  config.vocab_size = 19;
  config.max_seq_len = 16;
  const auto group_wide_heads = [&config](int64_t heads, int64_t kv_heads) {
    config.n_heads = heads;
    config.n_kv_heads = kv_heads;
    config.head_dim = 4;
  };
  switch (family) {
    case Family::gpt2:
      models::set_all_biases(config, true);
      break;
    case Family::llama2:
      break;
    case Family::llama3:
      config.n_kv_heads = 2;
      config.rope_scaling.type = models::RopeType::llama3;
      config.rope_scaling.factor = 4;
      break;
    case Family::mistral:
      group_wide_heads(2, 1);
      config.window = 3;
      config.rope_scaling.type = models::RopeType::yarn;
      config.rope_scaling.factor = 4;
      break;
    case Family::qwen2:
      config.n_kv_heads = 1;
      break;
    case Family::qwen3:
      group_wide_heads(4, 2);
      break;
    case Family::olmo2:
      config.n_kv_heads = 2;
      break;
    case Family::pythia:
      group_wide_heads(2, 2);
      config.rotated_dim = 2;
      break;
    case Family::gemma2:
      group_wide_heads(2, 1);
      config.window = 2;
      config.query_scalar = 6;
      config.attention_cap = 1;
      config.logit_cap = 2;
      break;
    case Family::gemma3:
      group_wide_heads(2, 1);
      config.window = 3;
      config.window_pattern = "wf";
      config.query_scalar = 3;
      config.rope_scaling.type = models::RopeType::linear;
      config.rope_scaling.factor = 8;
      break;
    case Family::phi3:
      config.n_kv_heads = 2;
      config.window = 4;
      break;
    case Family::smollm3:
      config.n_kv_heads = 2;
      config.rope_pattern = "rn";
      break;
  }
  return config;
}

/// Returns whether a family has a placement.
inline bool is_valid(models::Family family, models::Placement placement) {
  try {
    models::validate(tiny_config(family, placement));
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// Returns the tiny configuration of every family with every placement that it can have.
inline std::vector<models::GptConfig> all_tiny_configs() {
  std::vector<models::GptConfig> configs;
  for (const models::Family family : all_families()) {
    for (const models::Placement placement : all_placements()) {
      if (is_valid(family, placement)) {
        configs.push_back(tiny_config(family, placement));
      }
    }
  }
  return configs;
}

/// Returns the tiny configurations for tests that take long: the families whose layers are the simplest with every
/// placement, and every other family with its own.
inline std::vector<models::GptConfig> some_tiny_configs() {
  std::vector<models::GptConfig> configs;
  for (const models::GptConfig& config : all_tiny_configs()) {
    if (config.family <= models::Family::llama3 ||
        config.placement == models::family_defaults(config.family).placement) {
      configs.push_back(config);
    }
  }
  return configs;
}

/// Returns the name of a configuration among the instances of a test: "llama2_prenorm".
inline std::string instance_name(const models::GptConfig& config) {
  return std::string(models::to_string(config.family)) + "_" + models::to_string(config.placement);
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
