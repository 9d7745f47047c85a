#pragma once

#include <string>

#include "hessian/models/config.h"

namespace hessian::models {

enum class Architecture { llama, gpt2 };

struct HuggingFaceConfig {
  Architecture architecture = Architecture::llama;
  GptConfig config;
};

/// Reads config.json, and refuses settings whose computation this project does not implement.
/// \throws std::runtime_error  one line that names the file and the key
HuggingFaceConfig read_huggingface_config(const std::string& path);

}  // namespace hessian::models
