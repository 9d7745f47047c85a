#include "config/model_option.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <system_error>
#include <utility>

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;

const std::string suffix = ".safetensors";

/// Returns the step in a checkpoint's file name; nothing if the file is no checkpoint.
std::optional<int64_t> step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(checkpoint_prefix) || !name.ends_with(suffix)) {
    return std::nullopt;
  }
  const std::string digits =
      name.substr(checkpoint_prefix.size(), name.size() - checkpoint_prefix.size() - suffix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(step) : std::nullopt;
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  return fmt::format("{}{:08}{}", checkpoint_prefix, step, suffix);
}

std::vector<fs::path> list_checkpoints(const fs::path& folder) {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (const auto step = step_of(entry->path())) {
      found.emplace_back(*step, entry->path());
    }
  }
  std::sort(found.begin(), found.end());
  std::vector<fs::path> paths;
  std::transform(found.begin(), found.end(), std::back_inserter(paths), [](const auto& pair) { return pair.second; });
  return paths;
}

std::string newest_checkpoint_of(const std::string& model) {
  std::error_code error;
  if (!fs::is_directory(model, error) || fs::exists(fs::path(model) / "config.json", error)) {
    return model;
  }
  const auto checkpoints = list_checkpoints(model);
  return checkpoints.empty() ? model : checkpoints.back().string();
}

}  // namespace hessian::experiments
