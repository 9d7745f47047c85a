#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "train/training.h"

namespace hessian::experiments {

/// Returns a newly initialised model that is ready for training, as a configuration describes it. Writes no files.
Training fresh_training(const TrainConfig& config, const ProcessGroup& group = {});

/// Models whose training steps are timed in turn.
struct StepTimesOptions {
  std::vector<TrainConfig> configs;  ///< one per model
  int64_t rounds = 5;
  double seconds = 1;  ///< per model and round
};

/// Median duration of a step of one model in one round.
struct StepTime {
  std::string model;
  int64_t round = 0;
  double step_seconds = 0;
};

/// Times the models in turn, so that a slow phase of the machine affects all of them.
std::vector<StepTime> measure_step_times(const StepTimesOptions& options,
                                         const std::function<void(int64_t done, int64_t total)>& progress);

/// Writes the times to /step_times of a run file.
void write_step_times(const std::filesystem::path& path, const RunInfo& info, const std::vector<StepTime>& times);

}  // namespace hessian::experiments
