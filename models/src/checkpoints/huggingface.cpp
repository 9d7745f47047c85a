#include "checkpoints/huggingface.h"

#include <filesystem>

#include "checkpoints/huggingface_config.h"
#include "checkpoints/huggingface_shards.h"
#include "checkpoints/named_tensors.h"

namespace hessian::models {

HuggingFaceModel load_huggingface_folder(const std::string& folder, WeightAccess access) {
  const auto [architecture, config] = read_huggingface_config((std::filesystem::path(folder) / "config.json").string());
  NamedTensors tensors = read_huggingface_tensors(folder, architecture->key_of);
  const auto parameters = architecture->take(tensors, config, access);
  return {assemble_model(config, parameters, folder), architecture->name};
}

Model load_huggingface_model(const std::string& folder, WeightAccess access) {
  return load_huggingface_folder(folder, access).model;
}

}  // namespace hessian::models
