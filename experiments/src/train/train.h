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

/// What to train, and what to do about a run that exists already.
struct TrainOptions {
  TrainConfig config;
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

/// Progress of a run after an update.
struct TrainProgress {
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;
  double tokens_per_second = 0;  ///< since the start or the resumption, without probes and validations
  double seconds_left = 0;
};

/// Outcome of a run, as its run file records it.
struct TrainReport {
  std::filesystem::path run_file;
  std::filesystem::path checkpoint;  ///< the last one; empty if there is none
  int64_t step = 0;                  ///< updates done
  int64_t resumed_from = 0;          ///< step of the checkpoint that it was resumed from
  double loss = 0;                   ///< of the last update, nats
  double validation_loss = 0;        ///< last validation, nats; NaN if there is none
  std::optional<Divergence> divergence;
  bool interrupted = false;
  double tokens_per_second = 0;
};

/// Trains a model and writes OUT/run.h5 and OUT/checkpoint-STEP.safetensors, where OUT is config.out.
///
/// Stops early if the run diverges and the configuration says so. If an InterruptGuard exists, it also stops on SIGINT
/// and SIGTERM, after saving a checkpoint.
/// \param progress  called after every update in the first process of the job, if not empty
/// \throws std::invalid_argument  if the configuration requires something that the model or the machine lacks
/// \throws std::runtime_error     if input cannot be read, a run exists already, or files cannot be written
TrainReport run_training(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress = {});

/// Returns the path of the run file of a run in a folder: FOLDER/run.h5.
std::filesystem::path run_file_in(const std::filesystem::path& folder);

}  // namespace hessian::experiments
