#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>

#include "hessian/models/training_checkpoint.h"
#include "hessian/run_file.h"
#include "train/checkpoints.h"
#include "train/config.h"
#include "train/divergence.h"

namespace hessian::experiments {

struct FoundCheckpoint {
  std::filesystem::path path;
  models::TrainingCheckpoint contents;
};

/// The newest checkpoint that can be read; one that cannot is passed over with a warning. Nothing if there is none.
/// \throws std::invalid_argument  if it was made with a configuration that trains differently, naming the key
std::optional<FoundCheckpoint> find_checkpoint(const TrainCheckpoints& checkpoints, const TrainConfig& config);

/// Refuses to go on with a run that was made with a configuration that trains differently.
/// \param config_text  TOML that the run was made with, found in `path`
/// \throws std::invalid_argument  naming the key
void check_same_run(const std::string& config_text, TrainConfig config, const std::string& path);

/// The last numbers of a run up to some step, nats; NaN where there is none.
struct ReplayedRun {
  double loss = std::numeric_limits<double>::quiet_NaN();
  double validation_loss = std::numeric_limits<double>::quiet_NaN();
};

/// Feeds the steps that a run file holds, up to `step`, to a fresh monitor.
/// \throws std::runtime_error  if the file does not hold them all
ReplayedRun replay_run(const std::filesystem::path& run_file, int64_t step, DivergenceMonitor& monitor);

}  // namespace hessian::experiments
