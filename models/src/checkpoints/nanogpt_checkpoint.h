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
/// Everything else in it (the optimizer, the configuration) is ignored, and nothing in it is run. Prefixes of wrappers
/// (wrapper_prefixes.h) are removed from the names; q, k and v are split; `lm_head.weight` must equal `transformer.wte.weight`, to which it is tied. The weights are copied out of the file, because nanoGPT
/// overwrites it with the next checkpoint; with WeightAccess::deferred they are copied when they are fetched.
/// \param gelu  Activation::gelu, or gelu_tanh for checkpoints from before June 2023, when nanoGPT's model.py had
///              this approximation; the file does not say which
/// \throws std::runtime_error  one line, beginning with the path
/// Source: karpathy/nanoGPT, model.py and train.py.
TrainedModel load_nanogpt_checkpoint(const std::string& path, WeightAccess access = WeightAccess::ready,
                                     Activation gelu = Activation::gelu);

}  // namespace hessian::models
