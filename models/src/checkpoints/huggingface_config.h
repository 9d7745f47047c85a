#pragma once

#include <string>

#include "checkpoints/huggingface_architectures.h"
#include "hessian/models/config.h"

namespace hessian::models {

struct HuggingFaceConfig {
  const HuggingFaceArchitecture* architecture = nullptr;
  GptConfig config;
};

/// Reads config.json, and refuses settings whose computation this project does not implement.
/// \throws std::runtime_error  one line that names the file and the key
HuggingFaceConfig read_huggingface_config(const std::string& path);

}  // namespace hessian::models
