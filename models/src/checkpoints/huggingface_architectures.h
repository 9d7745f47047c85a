#pragma once

#include <span>
#include <string>

#include "checkpoints/huggingface_settings.h"
#include "hessian/models/config.h"

namespace hessian {
class Parameters;
}

namespace hessian::models {

class NamedTensors;
enum class WeightAccess;

/// What the loader needs to know about an architecture of transformers.
struct HuggingFaceArchitecture {
  const char* name;        ///< in `architectures` of config.json
  const char* model_type;  ///< in `model_type`, for files without `architectures`
  /// Returns the configuration of a model.
  GptConfig (*read)(const HuggingFaceSettings& settings);
  /// Returns the key under which `take` expects the tensor with this name in the file, empty for buffers.
  std::string (*key_of)(const std::string& name);
  /// Takes all weights, under this project's names.
  Parameters (*take)(NamedTensors& tensors, const GptConfig& config, WeightAccess access);
};

/// Returns all supported architectures.
std::span<const HuggingFaceArchitecture> huggingface_architectures();

}  // namespace hessian::models
