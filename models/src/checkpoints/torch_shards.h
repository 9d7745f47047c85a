#pragma once

#include <functional>
#include <string>

#include "checkpoints/named_tensors.h"

namespace hessian::models {

/// Returns whether a Hugging Face folder holds weights of torch.save: pytorch_model.bin, or its index.
bool has_torch_shards(const std::string& folder);

/// Reads all tensors of a Hugging Face folder: those of pytorch_model.bin, or of the shards that
/// pytorch_model.bin.index.json names. They are views of the mapped files. Nothing in the files is run.
/// \param key_of  returns the key of a tensor, given its name; tensors with an empty key are skipped
/// \throws std::runtime_error  one line, beginning with the offending file
NamedTensors read_torch_shards(const std::string& folder, const std::function<std::string(const std::string&)>& key_of);

}  // namespace hessian::models
