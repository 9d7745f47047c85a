#pragma once

#include <functional>
#include <string>

#include "checkpoints/named_tensors.h"

namespace hessian::models {

/// Reads all tensors of a Hugging Face folder: those of model.safetensors, or of the shards that
/// model.safetensors.index.json names.
/// \param key_of  the key under which a tensor is wanted, given its name; an empty key leaves it out
NamedTensors read_huggingface_tensors(const std::string& folder,
                                      const std::function<std::string(const std::string&)>& key_of);

}  // namespace hessian::models
