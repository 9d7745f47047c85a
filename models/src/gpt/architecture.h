#pragma once

#include <vector>

#include "hessian/models/config.h"
#include "hessian/program.h"

namespace hessian::models {

/// A stage of a model (embedding, one layer, or head): its program, and the parameters that it reads.
struct Stage {
  Program program;
  std::vector<ParameterSpec> parameters;
};

/// Describes the map from tokens [S, T] to the first residual [S, T, dim].
Stage describe_embedding(const GptConfig& config);

/// Describes the map from the residual [S, T, dim] before `layer` to the one after it. The program's sites are attn_in,
/// attn_proj_in, ffn_in and ffn_down_in: the inputs of the layer's linear maps.
Stage describe_layer(const GptConfig& config, int64_t layer);

/// Describes the map from the last residual [S, T, dim] to logits [S, T, vocab_size].
Stage describe_logits(const GptConfig& config);

/// Describes the map from the last residual [S, T, dim] and targets [S, T] to the mean cross-entropy of each sequence,
/// [S], in nats.
Stage describe_loss(const GptConfig& config);

}  // namespace hessian::models
