#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hessian/models/training_checkpoint.h"

namespace hessian::experiments {

/// The checkpoints of one run: FOLDER/checkpoint-STEP.safetensors, where STEP has at least eight digits.
class TrainCheckpoints {
 public:
  /// \param keep  number of latest checkpoints that save() keeps
  TrainCheckpoints(std::filesystem::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}

  /// Returns the paths of all checkpoints in the folder, oldest first.
  std::vector<std::filesystem::path> list() const;

  /// Writes a checkpoint atomically, removes the oldest ones beyond `keep`, and returns its path.
  std::filesystem::path save(const models::TrainingCheckpoint& checkpoint) const;

  /// Removes the oldest checkpoints beyond `keep`, and files that killed processes left half-written.
  void remove_surplus() const;

  void remove_all() const;

 private:
  std::filesystem::path folder_;
  int64_t keep_;
};

}  // namespace hessian::experiments
