#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "run_file/output_file.h"
#include "train/config.h"
#include "train/divergence.h"

namespace hessian::experiments {

struct TrainOptions {
  TrainConfig config;
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

/// Where a run is after an update.
struct TrainProgress {
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;
  double tokens_per_second = 0;  ///< since the run began or was resumed, probes and validations left out
  double seconds_left = 0;
};

/// How a run ended; the same as in its run file.
struct TrainReport {
  std::filesystem::path run_file;
  std::filesystem::path checkpoint;  ///< the last one; empty if there is none
  int64_t step = 0;                  ///< updates done
  int64_t resumed_from = 0;          ///< step of the checkpoint that it went on from
  double loss = 0;                   ///< of the last update, nats
  double validation_loss = 0;        ///< the last one, nats; NaN if there is none
  std::optional<Divergence> divergence;
  bool interrupted = false;
  double tokens_per_second = 0;
};

/// Trains a model, and writes DIR/run.h5 and DIR/checkpoint-STEP.safetensors, DIR being config.out.
///
/// Stops early when the run has diverged, if the configuration says so, and, with a checkpoint, when the process is
/// asked to end (an InterruptGuard has to live).
/// \throws std::invalid_argument  if the configuration asks for what the model or the machine does not have
/// \throws std::runtime_error     for unreadable input, a run that is there already, or files that cannot be written
TrainReport run_training(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress = {});

/// The run file of a run in that folder.
std::filesystem::path run_file_in(const std::filesystem::path& folder);

}  // namespace hessian::experiments
