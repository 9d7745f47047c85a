#pragma once

#include <string>

namespace hessian::models {

/// Removes from a tensor's name what wrappers of a module or of its submodules add to it: `_orig_mod.` (torch.compile),
/// `_fsdp_wrapped_module.` (FSDP) and `_checkpoint_wrapped_module.` (activation checkpointing) anywhere, and `module.`
/// (DistributedDataParallel) at the front; in any order and number.
std::string without_wrapper_prefixes(const std::string& name);

}  // namespace hessian::models
