#pragma once

#include <cstdint>
#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

struct LoadedCheckpoint {
  Model model;
  std::int64_t training_step = 0;  ///< 0 if the file does not say
  std::string description;         ///< kind of the file: "nanoGPT checkpoint", "Hugging Face LlamaForCausalLM", ...
};

struct LoadOptions {
  WeightAccess access = WeightAccess::ready;
  /// Computes the GELU of a nanoGPT checkpoint by its tanh approximation, as nanoGPT did before June 2023. The file does
  /// not say which one it was trained with.
  bool tanh_gelu = false;
  /// Configuration, as JSON of config_from_json(), of a checkpoint that has none and from which it cannot be derived:
  /// torch.distributed.checkpoint.
  std::string config_json = {};
};

/// Reads a model in one of these forms, recognised by content rather than by name:
/// - a folder of Hugging Face: config.json, and model.safetensors or model.safetensors.index.json with its shards, of one of
///   the architectures LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Olmo2ForCausalLM,
///   GPTNeoXForCausalLM, Gemma2ForCausalLM, Gemma3ForCausalLM, Phi3ForCausalLM, SmolLM3ForCausalLM and GPT2LMHeadModel. The
///   model computes what transformers computes; a configuration that asks for anything else is refused;
/// - a folder of Meta's release of a Llama (load_meta_model), or of torch.distributed.checkpoint (load_distributed_model);
/// - a safetensors file with `__metadata__["config"]`: this project's own form, with the tensor names of the official
///   SimpleGPT code; `freqs_cis` and training state (training_checkpoint.h) are skipped, and `__metadata__["step"]` is
///   the training step;
/// - a file of torch.save: llama2.c (load_llama2c_checkpoint) or nanoGPT (load_nanogpt_checkpoint).
///
/// Weights keep the type that they have in the file. Those of a safetensors file are views of the mapped file if no
/// conversion is needed. With WeightAccess::deferred, weights that need a conversion are read from the mapped file when
/// they are fetched. With WeightAccess::unread, the values are not read at all, and so not checked to be finite. In all cases the
/// file must not be overwritten while the model is in use.
/// \throws std::runtime_error     one line, beginning with the path
/// \throws std::invalid_argument  if an option is given that this form of checkpoint does not have
LoadedCheckpoint load_checkpoint(const std::string& path, const LoadOptions& options);
inline LoadedCheckpoint load_checkpoint(const std::string& path, WeightAccess access = WeightAccess::ready) {
  return load_checkpoint(path, LoadOptions{.access = access});
}

/// Writes a model in this project's own form; the file appears whole or not at all.
/// \throws std::runtime_error  one line, beginning with the path
void save_checkpoint(const Model& model, const std::string& path, std::int64_t training_step);

}  // namespace hessian::models
