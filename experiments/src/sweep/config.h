#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "sweep/lr_search.h"
#include "train/config.h"

namespace hessian::experiments {

/// Configuration of a sweep: a training configuration, and what varies between the runs.
struct SweepConfig {
  /// Common to all runs except for model.name, optimizer.lr and seed. `out` is the folder of the sweep. By default runs
  /// save no checkpoints, since there are many runs.
  TrainConfig train = [] {
    TrainConfig config;
    config.checkpoint.every = 0;
    return config;
  }();
  std::vector<std::string> models = {"new:llama2-20M-prenorm", "new:llama2-20M-preqknorm", "new:llama2-20M-simplegpt"};
  std::vector<int64_t> seeds = {0, 1, 2};
  LrGrid lr{1e-3, 1e-1, 1.0};
  bool bisect = true;
  double factor = default_bisection_factor;  ///< ratio of the bracket's ends at which bisection ends
  int64_t jobs = 1;                          ///< concurrent runs, which share the CPU threads
};

/// Returns every key of a sweep's configuration: those of a training run and those of the section [sweep].
ConfigFields sweep_fields(SweepConfig& config);

/// Reads a configuration file, applies settings of the form KEY=VALUE on top, and checks the values.
/// \throws std::runtime_error, std::invalid_argument  as load_train_config()
SweepConfig load_sweep_config(const std::string& path, const std::vector<std::string>& settings);

/// Writes a configuration as a TOML file, atomically.
/// \throws std::runtime_error  if it cannot be written
void write_config_file(const std::filesystem::path& path, const ConfigFields& fields);

}  // namespace hessian::experiments
