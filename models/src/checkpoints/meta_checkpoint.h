#pragma once

#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// Returns whether a folder is a Llama as Meta releases it: it has params.json.
bool is_meta_folder(const std::string& folder);

/// Reads a Llama as Meta releases it: params.json, and consolidated.00.pth, .01.pth, ... of the model-parallel shards.
/// wq, wk, wv, w1, w3 and output are divided by rows, wo and w2 by columns, the embedding by columns (Llama 1 and 2) or
/// rows (Llama 3), which its shape tells; norms must be equal in all shards. RoPE rotates adjacent entries, as here. The
/// buffer rope.freqs is ignored. A vocabulary of -1 is that of the embedding. The head is tied if `output.weight` is
/// absent or equals the embedding. With `use_scaled_rope`, RoPE is scaled as in Llama 3.1: type llama3, factor 8 or
/// `rope_scaling_factor`, from a context of 8192. Parameters that are not known are refused.
///
/// Weights of a single shard are views of the mapped file. Those of several are joined now, or, with
/// WeightAccess::deferred, when they are fetched.
/// \throws std::runtime_error  one line, beginning with the offending file or the folder
/// Source: meta-llama/llama and meta-llama/llama3, model.py and generation.py; fairscale's ColumnParallelLinear,
/// RowParallelLinear, ParallelEmbedding and VocabParallelEmbedding.
Model load_meta_model(const std::string& folder, WeightAccess access = WeightAccess::ready);

}  // namespace hessian::models
