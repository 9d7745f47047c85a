#include "data/token_cache.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>
#include <map>
#include <optional>
#include <vector>

#include "formats/safetensors.h"
#include "tokens/text_files.h"
#include "tokens/token_output.h"

namespace hessian::models {
namespace {

// Changes if an update of this project changes the ids of an unchanged tokenizer.
constexpr const char* version = "2";
constexpr const char* ids_name = "ids";

std::map<std::string, std::string> metadata_of(const std::string& path, const Tokenizer& tokenizer) {
  return {{"format", "hessian token cache"},
          {"version", version},
          {"text_digest", fmt::format("{:016x}", file_digest(path))},
          {"tokenizer_digest", fmt::format("{:016x}", tokenizer.digest())},
          {"tokenizer", tokenizer.description()}};
}

/// Returns the stored ids of a file; nothing if there are none, or they are those of another text or tokenizer.
std::optional<at::Tensor> read_cache(const std::string& path, const std::map<std::string, std::string>& metadata) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) {
    return std::nullopt;
  }
  try {
    const auto file = load_safetensors(path);
    if (file.metadata != metadata || !file.tensors.contains(ids_name)) {
      return std::nullopt;
    }
    const at::Tensor& ids = file.tensors.at(ids_name);
    return ids.dim() == 1 && ids.scalar_type() == at::kInt ? std::optional(ids) : std::nullopt;
  } catch (const std::runtime_error&) {
    return std::nullopt;  // damaged: it is written again
  }
}

void write_cache(const std::string& path, const at::Tensor& ids, const std::map<std::string, std::string>& metadata) {
  Parameters tensors;
  tensors.add(ids_name, ids);
  try {
    save_safetensors(path, tensors, metadata);
  } catch (const std::runtime_error&) {
    return;  // the folder is read-only, or the disk is full: the ids are computed again next time
  }
}

at::Tensor tensor_of(const std::vector<std::int32_t>& ids) {
  return at::tensor(at::ArrayRef<std::int32_t>(ids), at::kInt);
}

at::Tensor encode_text_file(const std::string& path, const Tokenizer& tokenizer) {
  const auto metadata = metadata_of(path, tokenizer);
  const std::string cache =
      fmt::format("{}.tokens-{:08x}.safetensors", path, static_cast<std::uint32_t>(tokenizer.digest() >> 32U));
  if (const auto ids = read_cache(cache, metadata)) {
    return *ids;
  }
  at::Tensor ids = tensor_of(encode_file(tokenizer, TextFile::open(path)));
  write_cache(cache, ids, metadata);
  return ids;
}

}  // namespace

at::Tensor encode_text_files(const std::string& source, const Tokenizer& tokenizer) {
  std::vector<at::Tensor> ids;
  for (const std::string& path : find_text_files(source)) {
    if (const auto end = tokenizer.end_token(); end && !ids.empty()) {
      ids.push_back(tensor_of({*end}));
    }
    ids.push_back(encode_text_file(path, tokenizer));
  }
  return ids.size() == 1 ? ids[0] : at::cat(ids);
}

}  // namespace hessian::models
