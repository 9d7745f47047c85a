#include "train/checkpoints.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "io/atomic_file.h"

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;

const std::string prefix = "checkpoint-";
const std::string suffix = ".safetensors";

/// Returns the step in a checkpoint's file name; nothing if the file is no checkpoint.
std::optional<int64_t> step_of(const fs::path& path) {
  const std::string name = path.filename().string();
  if (!name.starts_with(prefix) || !name.ends_with(suffix)) {
    return std::nullopt;
  }
  const std::string digits = name.substr(prefix.size(), name.size() - prefix.size() - suffix.size());
  int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(step) : std::nullopt;
}

}  // namespace

std::vector<fs::path> TrainCheckpoints::list() const {
  std::vector<std::pair<int64_t, fs::path>> found;
  std::error_code error;
  fs::directory_iterator entry(folder_, error);
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

fs::path TrainCheckpoints::save(const models::TrainingCheckpoint& checkpoint) const {
  fs::path path = folder_ / fmt::format("{}{:08}{}", prefix, checkpoint.state.step, suffix);
  models::save_training_checkpoint(checkpoint, path.string());
  remove_surplus();
  return path;
}

void TrainCheckpoints::remove_surplus() const {
  models::remove_half_written(folder_, prefix);
  const auto all = list();
  for (std::size_t i = 0; i + static_cast<std::size_t>(keep_) < all.size(); ++i) {
    std::error_code error;  // ignored: a checkpoint that cannot be removed does no harm
    fs::remove(all[i], error);
  }
}

void TrainCheckpoints::remove_all() const {
  for (const fs::path& path : list()) {
    fs::remove(path);
  }
}

}  // namespace hessian::experiments
