#pragma once

#include <string>

#include "checkpoints/named_tensors.h"
#include "checkpoints/taken_weights.h"
#include "hessian/models/config.h"

namespace hessian::models {

/// Takes the weight of the output head. If the head is tied, compares a redundant copy with the embedding and drops it.
/// \param key  of the head's weight in the checkpoint
/// \throws std::runtime_error  if it is missing, has another shape, or differs from the embedding to which it is tied
void take_head(NamedTensors& tensors, const std::string& key, const GptConfig& config, const at::Tensor& embedding,
               TakenWeights& result);

}  // namespace hessian::models
