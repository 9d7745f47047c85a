#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "checkpoints/huggingface_config.h"
#include "loader_support.h"
#include "refusal.h"

// Configurations of Hugging Face for tests of the loader.

namespace hessian::support {

/// Returns what every configuration but GPT-2's must have.
/// \param n_layers, n_heads  chosen so that the family's own defaults fit
inline nlohmann::json huggingface_sizes(const std::string& architecture, int64_t n_layers, int64_t n_heads) {
  return {{"architectures", {architecture}}, {"hidden_size", 128},      {"num_hidden_layers", n_layers},
          {"num_attention_heads", n_heads},  {"intermediate_size", 80}, {"vocab_size", 100}};
}

/// Returns a configuration with the keys of another object. A null erases a key.
inline nlohmann::json with_keys(nlohmann::json config, const nlohmann::json& keys) {
  config.merge_patch(keys);
  return config;
}

inline models::GptConfig read_huggingface(const nlohmann::json& object) {
  const TemporaryFolder folder;
  return models::read_huggingface_config(folder.write("config.json", object.dump())).config;
}

/// Returns the message with which a configuration is refused, without the file's name.
inline std::string refusal_of_huggingface(const nlohmann::json& object) {
  const TemporaryFolder folder;
  const std::string path = folder.write("config.json", object.dump());
  return refusal_about(path, [&] { models::read_huggingface_config(path); });
}

}  // namespace hessian::support
