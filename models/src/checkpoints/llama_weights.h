#pragma once

#include <string>

#include "checkpoints/named_tensors.h"
#include "checkpoints/taken_weights.h"
#include "hessian/models/config.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// Returns the key of a tensor of a Llama or a relative: its name; empty for the buffer of RoPE's frequencies.
std::string llama_key(const std::string& name);

/// Takes the weights of an architecture with Llama's names: q_proj, k_proj, v_proj and o_proj, gate_proj, up_proj and
/// down_proj. Biases, norms of queries and keys, and norms after the branches are taken if the configuration has them.
///
/// Rows of q and k, their biases and the gains of their norms are permuted from the half-split order of Hugging Face to
/// interleaved pairs (rope_rows.h).
/// Source: huggingface/transformers, models/llama/modeling_llama.py and those of its relatives.
Parameters take_llama_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access);

/// Takes the norms of the residual stream and of the branches of a layer, which Llama and its relatives call input_layernorm,
/// post_attention_layernorm, pre_feedforward_layernorm and post_feedforward_layernorm.
void take_llama_norms(NamedTensors& tensors, const GptConfig& config, int64_t layer, TakenWeights& result);

}  // namespace hessian::models
