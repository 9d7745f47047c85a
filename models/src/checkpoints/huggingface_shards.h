#pragma once

#include <functional>
#include <string>

#include "checkpoints/named_tensors.h"

namespace hessian::models {

/// Reads all tensors of a Hugging Face folder: those of model.safetensors or pytorch_model.bin, or of the shards that
/// model.safetensors.index.json or pytorch_model.bin.index.json names. They are views of the mapped files where nothing has to
/// be converted; nothing in the files is executed.
/// \param key_of  returns the key of a tensor, given its name without the prefixes of wrappers; tensors with an empty key are
///                skipped
/// \throws std::runtime_error  one line, beginning with the offending file
NamedTensors read_huggingface_tensors(const std::string& folder,
                                      const std::function<std::string(const std::string&)>& key_of);

}  // namespace hessian::models
