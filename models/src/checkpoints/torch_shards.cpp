#include "checkpoints/torch_shards.h"

#include <filesystem>

#include "checkpoints/shard_index.h"
#include "formats/torch_checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* single_name = "pytorch_model.bin";
constexpr const char* index_name = "pytorch_model.bin.index.json";

Parameters load_state_dict(const std::string& path) {
  const TorchCheckpoint checkpoint = TorchCheckpoint::open(path);
  return checkpoint.state_dict(checkpoint.values().root());
}

}  // namespace

bool has_torch_shards(const std::string& folder) {
  const std::filesystem::path base(folder);
  return std::filesystem::exists(base / single_name) || std::filesystem::exists(base / index_name);
}

NamedTensors read_torch_shards(const std::string& folder,
                               const std::function<std::string(const std::string&)>& key_of) {
  const std::filesystem::path base(folder);
  NamedTensors tensors(folder);
  const auto add = [&](const std::string& name, const std::string& path, const at::Tensor& tensor) {
    if (const std::string key = key_of(name); !key.empty()) {
      tensors.add(key, name, path, tensor);
    }
  };
  if (const std::string single = (base / single_name).string(); std::filesystem::exists(single)) {
    for (const auto& [name, tensor] : load_state_dict(single)) {
      add(name, single, tensor);
    }
    return tensors;
  }
  const std::string index = (base / index_name).string();
  if (!std::filesystem::exists(index)) {
    fail(folder, "has neither {} nor {}", single_name, index_name);
  }
  for (const auto& [shard, names] : read_shard_index(index, ".bin")) {
    const std::string path = (base / shard).string();
    const Parameters contents = load_state_dict(path);
    for (const auto& name : names) {
      if (!contents.contains(name)) {
        fail(path, "has no tensor {}, which {} says is in it", name_text(name), index_name);
      }
      add(name, path, contents.at(name));
    }
  }
  return tensors;
}

}  // namespace hessian::models
