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

/// Loads the newest readable checkpoint of a run, if any; warns of unreadable ones and skips them.
/// \throws std::invalid_argument  if it belongs to a configuration that trains differently, naming the key
std::optional<FoundCheckpoint> find_checkpoint(const TrainCheckpoints& checkpoints, const TrainConfig& config);

/// Checks that a run may be continued with a configuration.
/// \param config_text  the configuration of the recorded run in TOML, found in `path`
/// \throws std::invalid_argument  if the two train differently, naming the key
void check_same_run(const std::string& config_text, TrainConfig config, const std::string& path);

/// The last losses of a recorded run up to some step, in nats; NaN if there are none.
struct ReplayedRun {
  double loss = std::numeric_limits<double>::quiet_NaN();
  double validation_loss = std::numeric_limits<double>::quiet_NaN();
};

/// Feeds the steps that a run file records, up to `step`, to a new monitor.
/// \throws std::runtime_error  if the file records fewer
ReplayedRun replay_run(const std::filesystem::path& run_file, int64_t step, DivergenceMonitor& monitor);

}  // namespace hessian::experiments
