#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "train/training.h"

namespace hessian::experiments {

/// A fresh model in training on the CPU or a device, as its configuration has it, without files.
Training fresh_training(const TrainConfig& config, const ProcessGroup& group = {});

/// Training steps of models that are timed beside each other.
struct StepTimesOptions {
  std::vector<TrainConfig> configs;  ///< one for each model
  int64_t rounds = 5;
  double seconds = 1;  ///< of each model in each round
};

/// Median seconds of a step of one model in one round.
struct StepTime {
  std::string model;
  int64_t round = 0;
  double step_seconds = 0;
};

/// Takes the models in turn, so that a slow moment of the machine meets all.
std::vector<StepTime> measure_step_times(const StepTimesOptions& options,
                                         const std::function<void(int64_t done, int64_t total)>& progress);

/// Writes the times as /step_times of a run file.
void write_step_times(const std::filesystem::path& path, const RunInfo& info, const std::vector<StepTime>& times);

}  // namespace hessian::experiments
