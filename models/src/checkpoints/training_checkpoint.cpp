#include "hessian/models/training_checkpoint.h"

#include <ATen/ATen.h>

#include "checkpoints/own_checkpoint.h"
#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

const std::string optimizer_prefix = "optimizer.";
const std::string generator_name = "generator.cpu";
constexpr const char* sequences_key = "sequences_seen";
constexpr const char* training_config_key = "training_config";
constexpr const char* data_key = "data";

const std::string& required(const std::map<std::string, std::string>& metadata, const char* key,
                            const std::string& path) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) {
    fail(path, "has no __metadata__[\"{}\"]: it holds a model, but no training state to resume from", key);
  }
  return found->second;
}

}  // namespace

bool is_training_state(const std::string& tensor_name) {
  return tensor_name.starts_with(optimizer_prefix) || tensor_name == generator_name;
}

void save_training_checkpoint(const TrainingCheckpoint& checkpoint, const std::string& path) {
  Parameters tensors = checkpoint.model.parameters;
  for (const auto& [name, tensor] : checkpoint.state.optimizer) {
    tensors.add(optimizer_prefix + name, tensor);
  }
  tensors.add(generator_name, checkpoint.state.generator);
  auto metadata = own_metadata(checkpoint.model.config, checkpoint.state.step);
  metadata[sequences_key] = std::to_string(checkpoint.state.sequences_seen);
  metadata[training_config_key] = checkpoint.state.config;
  if (!checkpoint.state.data.empty()) {
    metadata[data_key] = checkpoint.state.data;
  }
  save_safetensors(path, tensors, metadata);
}

TrainingCheckpoint load_training_checkpoint(const std::string& path) {
  const SafetensorsFile file = load_safetensors(path);
  TrainingCheckpoint checkpoint;
  checkpoint.state.config = required(file.metadata, training_config_key, path);
  if (const auto data = file.metadata.find(data_key); data != file.metadata.end()) {
    checkpoint.state.data = data->second;
  }
  checkpoint.state.sequences_seen = parse_count(required(file.metadata, sequences_key, path), sequences_key, path);
  LoadedCheckpoint loaded = model_of(file, path);
  checkpoint.state.step = loaded.training_step;
  // Copies, because the rounding of matrix products may depend on the alignment of memory, which is arbitrary in a
  // mapped file.
  checkpoint.model.config = loaded.model.config;
  for (const auto& [name, tensor] : loaded.model.parameters) {
    checkpoint.model.parameters.add(name, tensor.clone());
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (name.starts_with(optimizer_prefix)) {
      checkpoint.state.optimizer.add(name.substr(optimizer_prefix.size()), tensor.clone());
    }
  }
  if (!file.tensors.contains(generator_name)) {
    fail(path, "has no tensor '{}', the state of the random generator", generator_name);
  }
  checkpoint.state.generator = file.tensors.at(generator_name).clone();
  return checkpoint;
}

}  // namespace hessian::models
