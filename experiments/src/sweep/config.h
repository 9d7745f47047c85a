#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sweep/lr_search.h"
#include "train/config.h"

namespace hessian::experiments {

/// What a sweep is asked for: a training configuration, and what varies.
struct SweepConfig {
  /// Every run's, but for model.name, optimizer.lr and seed; `out` is the folder of the sweep. Runs keep no checkpoints
  /// unless asked to, since there are many.
  TrainConfig train = [] {
    TrainConfig config;
    config.checkpoint.every = 0;
    return config;
  }();
  std::vector<std::string> models = {"new:llama2-20M-prenorm", "new:llama2-20M-preqknorm", "new:llama2-20M-simplegpt"};
  std::vector<int64_t> seeds = {0, 1, 2};
  LrGrid lr{1e-3, 1e-1, 1.0};
  bool bisect = true;
  double factor = default_bisection_factor;  ///< of the bracket's ends, when bisection is done
  int64_t jobs = 1;                          ///< runs at a time, which share the threads
};

/// Every key of a sweep's configuration: those of a training run, and those of the section [sweep].
ConfigFields sweep_fields(SweepConfig& config);

/// Reads a configuration file and settings over the defaults, and checks the values.
/// \throws std::runtime_error, std::invalid_argument  one line, as load_train_config
SweepConfig load_sweep_config(const std::string& path, const std::vector<std::string>& settings);

}  // namespace hessian::experiments
