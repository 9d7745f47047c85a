#pragma once

#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

struct HuggingFaceModel {
  Model model;
  std::string architecture;  ///< "LlamaForCausalLM"
};

/// Reads a folder in the layout of Hugging Face: config.json, and weights in model.safetensors, in
/// pytorch_model.bin, or in the shards that an index of these names. huggingface_architectures.cpp lists the supported architectures.
///
/// The model computes what transformers computes. Absent keys of config.json have the defaults of transformers; what a
/// configuration asks for and this project does not implement is refused, never ignored. Rotated rows are permuted from
/// half-split to interleaved order, and stacked or transposed maps are taken apart.
/// \throws std::runtime_error  one line, beginning with the offending file
HuggingFaceModel load_huggingface_folder(const std::string& folder, WeightAccess access = WeightAccess::ready);

/// Returns the model of load_huggingface_folder().
Model load_huggingface_model(const std::string& folder, WeightAccess access = WeightAccess::ready);

}  // namespace hessian::models
