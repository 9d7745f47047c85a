#pragma once

#include <functional>
#include <string>

#include "checkpoints/named_tensors.h"

namespace hessian::models {

/// Reads all tensors of a Hugging Face folder: those of model.safetensors, or of the shards that
/// model.safetensors.index.json names.
/// \param key_of  returns the key of a tensor, given its name; tensors with an empty key are skipped
NamedTensors read_huggingface_tensors(const std::string& folder,
                                      const std::function<std::string(const std::string&)>& key_of);

}  // namespace hessian::models
