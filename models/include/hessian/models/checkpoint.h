#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

struct LoadedCheckpoint {
  Model model;
  std::int64_t training_step = 0;  ///< 0 where the file does not say
  std::string description;         ///< what was read: "nanoGPT checkpoint", "Hugging Face LlamaForCausalLM", ...
};

/// Reads a model of any of these forms, told apart by content and not by name:
/// - a folder: Hugging Face (load_huggingface_model);
/// - a safetensors file with `__metadata__["config"]`: this program's own form and that of the official SimpleGPT
///   code's tensors; `freqs_cis` and training state (training_checkpoint.h) are left out, and `__metadata__["step"]` is
///   the training step;
/// - a zip: nanoGPT (load_nanogpt_checkpoint).
///
/// Weights keep the type that the file has. Those of safetensors lie over the mapped file where that needs no
/// conversion. With WeightAccess::deferred those of other forms stay there too, so that a file must not be written over
/// while its model is used.
/// \throws std::runtime_error  one line, beginning with the path
LoadedCheckpoint load_checkpoint(const std::string& path, WeightAccess access = WeightAccess::ready);

/// Writes a model in this program's own form; the file appears whole or not at all.
/// \throws std::runtime_error  one line, beginning with the path
void save_checkpoint(const Model& model, const std::string& path, std::int64_t training_step);

}  // namespace hessian::models
