#pragma once

#include <string>

#include "checkpoints/named_tensors.h"
#include "hessian/models/config.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// Returns the key of a tensor of a GPT-NeoX: its name, with the head's as before transformers 5; empty for buffers.
std::string neox_key(const std::string& name);

/// Takes the weights of a GPT-NeoX. query_key_value is stacked per head: q, k and v of head 0, then those of head 1, and so on.
/// Source: huggingface/transformers, models/gpt_neox/modeling_gpt_neox.py.
Parameters take_neox_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access);

}  // namespace hessian::models
