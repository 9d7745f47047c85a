#pragma once

#include "checkpoints/named_tensors.h"
#include "hessian/models/config.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// Takes the weights of a Phi-3, which has Llama's names with two stacked maps per layer: qkv_proj (q, k, v) and
/// gate_up_proj (gate, up).
/// Source: huggingface/transformers, models/phi3/modeling_phi3.py.
Parameters take_phi3_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access);

}  // namespace hessian::models
