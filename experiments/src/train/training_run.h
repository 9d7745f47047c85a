#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>

#include "distributed/process_group.h"
#include "hessian/memory.h"
#include "train/checkpoints.h"
#include "train/probe.h"
#include "train/resume.h"
#include "train/setup.h"
#include "train/train.h"
#include "train/training.h"
#include "train/update_rms.h"
#include "train/writer.h"

namespace hessian::experiments {

/// One training run from its start, or from its last checkpoint, to its end.
///
/// Only the first process writes files and watches for divergence. It sends its decisions to the others, so that all
/// make the same updates, validations and probes.
class TrainingRun {
 public:
  /// Loads the last checkpoint if the run is to be resumed, otherwise the initial weights.
  TrainingRun(const TrainOptions& options, at::Device device, const ProcessGroup& group);

  /// Trains until the last step, divergence or interruption, and writes the run file and the checkpoints.
  /// \param memory    must be constructed before anything is loaded; its peak is written to the run file
  /// \param progress  called in the first process after every update, if not empty
  TrainReport run_to_end(const MemoryScope& memory, const std::function<void(const TrainProgress&)>& progress);

 private:
  using Clock = std::chrono::steady_clock;

  /// Returns the last checkpoint that the first process can read, in every process.
  std::optional<FoundCheckpoint> find_common_checkpoint() const;
  /// Restores the checkpoint, if any, and opens the run file.
  void begin();
  TrainWriter open_run_file();
  /// Returns whether the run has to stop before its last step.
  bool should_stop();
  /// Passes the first process's verdict on divergence on to all; called after every change of it.
  void share_divergence();
  void update();
  /// Validates and probes if either is due after this step. Skips both if a weight is NaN or infinite.
  void validate_and_probe(int64_t step);
  /// Saves a checkpoint. Skips it if a weight is NaN or infinite.
  void save_checkpoint();
  void finish(int64_t peak_memory_bytes);
  double tokens_per_second() const;
  TrainProgress current_progress() const;

  const TrainOptions& options_;
  const TrainConfig& config_;
  ProcessGroup group_;
  std::filesystem::path folder_;
  TrainCheckpoints checkpoints_;
  std::optional<FoundCheckpoint> checkpoint_;  // to resume from; released once it is restored
  models::Model model_;
  RunData data_;
  Training training_;
  UpdateRms update_rms_;
  DivergenceMonitor monitor_;
  RunInfo info_;
  TrainLayoutOptions layout_;
  std::optional<TrainProbe> probe_;
  std::optional<TrainWriter> writer_;  // only in the first process
  TrainReport report_;
  bool stops_diverged_ = false;  // the same in every process
  Clock::time_point start_ = Clock::now();
  double training_seconds_ = 0;
};

}  // namespace hessian::experiments
