#pragma once

#include <string>

#include "checkpoints/nanogpt_checkpoint.h"

namespace hessian::models {

/// Returns whether a folder is a checkpoint of torch.distributed.checkpoint: it has a file `.metadata`.
bool is_distributed_folder(const std::string& folder);

/// Reads a checkpoint of torch.distributed.checkpoint that the official SimpleGPT code saved, or other training code
/// with the names of Meta's Llama: `.metadata`, and files `__R_F.distcp` of one or several processes. Names begin with
/// `model.`, nothing, or another prefix; prefixes of wrappers are removed, and other entries (optimizer, progress)
/// skipped.
///
/// Such a checkpoint has no configuration. Without `config_json`, it is derived: the placement from the names, sizes
/// from shapes, head width and RoPE's base from the table `freqs_cis`; RMSNorm's epsilon is 1e-5. The family is llama3
/// if the base is 500000 or more. PostNorm has the names of PreNorm, and is not recognised. The training step is the
/// tensor `train_state.step`, as torchtitan saves it; 0 without one.
///
/// Chunks of a tensor are joined now, or, with WeightAccess::deferred, when the weight is fetched.
/// \param config_json  JSON of config_from_json(), or empty
/// \throws std::runtime_error  one line, beginning with the offending file or the folder
/// Source: PyTorch, torch/distributed/checkpoint; the official SimpleGPT code.
TrainedModel load_distributed_model(const std::string& folder, WeightAccess access = WeightAccess::ready,
                                    const std::string& config_json = {});

}  // namespace hessian::models
