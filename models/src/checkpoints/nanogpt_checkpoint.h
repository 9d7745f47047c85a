#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// A model and the training step at which it was saved.
struct TrainedModel {
  Model model;
  std::int64_t training_step = 0;
};

/// Reads a checkpoint of nanoGPT: a file of torch.save that holds a dict with `model`, `model_args` and `iter_num`.
/// Everything else in it (the optimizer, the configuration) is ignored, and nothing in it is run. The prefixes
/// `_orig_mod.` (torch.compile) and `module.` (DDP) are removed from the names; q, k and v are split; `lm_head.weight`
/// must equal `transformer.wte.weight`, to which it is tied. The weights are copied out of the file, because nanoGPT
/// overwrites it with the next checkpoint; with WeightAccess::deferred they are copied when they are fetched.
/// \throws std::runtime_error  one line, beginning with the path
/// Source: karpathy/nanoGPT, model.py and train.py.
TrainedModel load_nanogpt_checkpoint(const std::string& path, WeightAccess access = WeightAccess::ready);

}  // namespace hessian::models
