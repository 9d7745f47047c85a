#pragma once

#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// Reads a folder in the layout of Hugging Face: config.json, and model.safetensors or model.safetensors.index.json
/// with its shards. Supports the architectures LlamaForCausalLM and GPT2LMHeadModel, and refuses every setting whose
/// computation this project does not implement.
///
/// Llama: the rows of q and k are permuted from the half-split order of Hugging Face (pair j is rows j and j +
/// head_dim/2) to interleaved pairs (2j, 2j+1). The family is llama3 if the RoPE base is 500000 or more, llama2
/// otherwise; the two families compute the same.
/// GPT-2: Conv1D weights are transposed from [in, out] to [out, in], and c_attn is split into q, k and v.
/// \throws std::runtime_error  one line, beginning with the offending file
/// Source: huggingface/transformers, models/llama/modeling_llama.py and models/gpt2/modeling_gpt2.py.
Model load_huggingface_model(const std::string& folder, WeightAccess access = WeightAccess::ready);

/// Permutes the rows of a q or k projection [n_heads * head_dim, ...] from half-split to interleaved order, per head.
/// \throws std::invalid_argument  if n_heads does not divide the rows into heads of even size
at::Tensor interleave_rope_rows(const at::Tensor& weight, int64_t n_heads);

}  // namespace hessian::models
