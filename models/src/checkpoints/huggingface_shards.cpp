#include "checkpoints/huggingface_shards.h"

#include <filesystem>
#include <map>
#include <vector>

#include "formats/safetensors.h"
#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using ShardMap = std::map<std::string, std::vector<std::string>>;  // shard -> names of its tensors

/// Requires a plain file name, because a name with a folder could refer to any file of the machine.
void check_shard_name(const std::string& shard, const std::string& path) {
  if (shard.find_first_of("/\\") != std::string::npos || shard.starts_with('.') || !shard.ends_with(".safetensors")) {
    fail(path, "names the shard {}, expected the name of a .safetensors file in the same folder", name_text(shard));
  }
}

ShardMap read_index(const std::string& path) {
  const auto file = MappedFile::open(path);
  const auto index = parse_json_object(as_text(file->bytes()), path, "the file");
  const auto weights = index.find("weight_map");
  if (weights == index.end() || !weights->is_object()) {
    fail(path, "has no 'weight_map' object");
  }
  ShardMap shards;
  for (const auto& [name, shard] : weights->items()) {
    if (!shard.is_string()) {
      fail(path, "the shard of {} is {}, expected a file name", name_text(name), json_text(shard));
    }
    check_shard_name(shard.get_ref<const std::string&>(), path);
    shards[shard.get<std::string>()].push_back(name);
  }
  return shards;
}

}  // namespace

NamedTensors read_huggingface_tensors(const std::string& folder,
                                      const std::function<std::string(const std::string&)>& key_of) {
  const std::filesystem::path base(folder);
  const std::string single = (base / "model.safetensors").string();
  const std::string index = (base / "model.safetensors.index.json").string();
  NamedTensors tensors(folder);
  const auto add = [&](const std::string& name, const std::string& path, const at::Tensor& tensor) {
    const std::string key = key_of(name);
    if (!key.empty()) {
      tensors.add(key, name, path, tensor);
    }
  };
  if (std::filesystem::exists(single)) {
    for (const auto& [name, tensor] : load_safetensors(single).tensors) {
      add(name, single, tensor);
    }
    return tensors;
  }
  if (!std::filesystem::exists(index)) {
    fail(folder, "has neither model.safetensors nor model.safetensors.index.json");
  }
  for (const auto& [shard, names] : read_index(index)) {
    const std::string path = (base / shard).string();
    if (!std::filesystem::exists(path)) {
      fail(index, "names the shard {}, which is not there", name_text(shard));
    }
    const SafetensorsFile contents = load_safetensors(path);
    for (const auto& name : names) {
      if (!contents.tensors.contains(name)) {
        fail(path, "has no tensor {}, which model.safetensors.index.json says is in it", name_text(name));
      }
      add(name, path, contents.tensors.at(name));
    }
  }
  return tensors;
}

}  // namespace hessian::models
