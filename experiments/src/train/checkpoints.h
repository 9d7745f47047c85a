#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "hessian/models/training_checkpoint.h"

namespace hessian::experiments {

/// The checkpoints of one run: DIR/checkpoint-STEP.safetensors, STEP with eight digits or more.
class TrainCheckpoints {
 public:
  /// \param keep  how many of the newest stay
  TrainCheckpoints(std::filesystem::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}

  /// Those that are there, from the oldest on.
  std::vector<std::filesystem::path> list() const;

  /// Writes a checkpoint, whole or not at all, and then removes those that are too many.
  std::filesystem::path save(const models::TrainingCheckpoint& checkpoint) const;

  void remove_all() const;

 private:
  std::filesystem::path folder_;
  int64_t keep_;
};

}  // namespace hessian::experiments
