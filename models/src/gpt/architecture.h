#pragma once

#include <vector>

#include "hessian/models/config.h"
#include "hessian/program.h"

namespace hessian::models {

/// A part of a model: what it computes, and the parameters that it reads.
struct Part {
  hessian::Program program;
  std::vector<ParameterSpec> parameters;
};

/// Tokens [S, T] to the first residual [S, T, dim].
Part describe_embedding(const GptConfig& config);

/// Residual [S, T, dim] before block `layer` to the one behind it. The program's sites are attn_in, attn_proj_in,
/// ffn_in and ffn_down_in: the inputs of the block's linear maps.
Part describe_block(const GptConfig& config, int64_t layer);

/// Last residual [S, T, dim] to logits [S, T, vocab_size].
Part describe_logits(const GptConfig& config);

/// Last residual [S, T, dim] and targets [S, T] to the mean cross-entropy of each sequence, [S], in nats.
Part describe_loss(const GptConfig& config);

}  // namespace hessian::models
