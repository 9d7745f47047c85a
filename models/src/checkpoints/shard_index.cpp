#include "checkpoints/shard_index.h"

#include <filesystem>

#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// Requires a plain file name, because a name with a folder could refer to any file of the machine.
void check_shard_name(const std::string& shard, const std::string& path, const std::string& ending) {
  if (shard.find_first_of("/\\") != std::string::npos || shard.starts_with('.') || !shard.ends_with(ending)) {
    fail(path, "names the shard {}, expected the name of a {} file in the same folder", name_text(shard), ending);
  }
}

}  // namespace

std::map<std::string, std::vector<std::string>> read_shard_index(const std::string& path, const std::string& ending) {
  const auto file = MappedFile::open(path);
  const auto index = parse_json_object(as_text(file->bytes()), path, "the file");
  const auto weights = index.find("weight_map");
  if (weights == index.end() || !weights->is_object()) {
    fail(path, "has no 'weight_map' object");
  }
  std::map<std::string, std::vector<std::string>> shards;
  for (const auto& [name, shard] : weights->items()) {
    if (!shard.is_string()) {
      fail(path, "the shard of {} is {}, expected a file name", name_text(name), json_text(shard));
    }
    check_shard_name(shard.get_ref<const std::string&>(), path, ending);
    shards[shard.get<std::string>()].push_back(name);
  }
  for (const auto& [shard, names] : shards) {
    if (!std::filesystem::exists(std::filesystem::path(path).parent_path() / shard)) {
      fail(path, "names the shard {}, which is not there", name_text(shard));
    }
  }
  return shards;
}

}  // namespace hessian::models
