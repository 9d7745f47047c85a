#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "experiments/divergence.h"
#include "experiments/run_file.h"
#include "experiments/train_config.h"
#include "models/training_checkpoint.h"
#include "train_checkpoints.h"

namespace experiments {

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

/// Feeds the steps that a run file holds, up to one of them, to a fresh monitor.
void replay_losses(const RunFileReader& run, int64_t step, DivergenceMonitor& monitor);

}  // namespace experiments
