#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hessian::experiments {

/// The names of training checkpoints begin with it.
inline const std::string checkpoint_prefix = "checkpoint-";

/// Returns the name of a training checkpoint: checkpoint-STEP.safetensors, where STEP has at least eight digits.
std::string checkpoint_name(int64_t step);

/// Returns the paths of all training checkpoints in a folder, oldest first.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& folder);

/// Returns the newest checkpoint if `model` is the folder of a training run, otherwise `model`.
std::string newest_checkpoint_of(const std::string& model);

}  // namespace hessian::experiments
