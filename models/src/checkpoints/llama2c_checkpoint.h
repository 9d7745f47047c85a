#pragma once

#include <string>

#include "checkpoints/nanogpt_checkpoint.h"
#include "formats/torch_checkpoint.h"

namespace hessian::models {

/// Returns whether a checkpoint has the model arguments of llama2.c: `dim` and `n_layers` rather than `n_embd`.
bool is_llama2c_checkpoint(const TorchCheckpoint& checkpoint);

/// Reads a checkpoint of llama2.c, a Llama that was trained with nanoGPT's script: a file of torch.save that holds a
/// dict with `model`, `model_args` and `iter_num`. Arguments that are absent have the defaults of its ModelArgs. Names
/// are those of Meta's code; prefixes of wrappers are removed, and the buffers `freqs_cos` and `freqs_sin` are ignored.
/// The head is tied if `output.weight` is absent or equals the token embedding. The weights are copied out of the file,
/// because llama2.c overwrites it with the next checkpoint.
/// \throws std::runtime_error  one line, beginning with the path
/// Source: karpathy/llama2.c, model.py and train.py.
TrainedModel load_llama2c_checkpoint(const std::string& path, WeightAccess access = WeightAccess::ready);

}  // namespace hessian::models
