#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "train/divergence.h"

namespace hessian::experiments {

/// The outcome of a training run, as its run file records it.
struct RunSummary {
  bool finished = false;
  int64_t step = 0;            ///< updates recorded
  double initial_loss = 0;     ///< of the first step, nats; NaN without a step
  double loss = 0;             ///< of the last step, nats; NaN without a step
  double validation_loss = 0;  ///< last validation, nats; NaN if there is none
  double final_loss = 0;  ///< nats: the last validation if it was made at the end, otherwise the mean over the last
                          ///< tenth of the steps; NaN if a non-finite loss ended the run
  double tokens_per_second = 0;  ///< over all steps, without probes and validations
  std::optional<Divergence> divergence;
  /// Peak learning rates up to which the measured curvature predicts stable training: the minimum over the probes of
  /// c / (lambda m), with m the schedule's multiplier at the probe. Probes with an estimate that has not converged are left
  /// out. Absent if the run has no such probe.
  std::optional<double> activation_rate;      ///< c = 2; lambda: largest over layers of the median of lambda_max(H_xx)
  std::optional<double> sharpness_rate;       ///< c = 2; lambda: sharpness
  std::optional<double> preconditioned_rate;  ///< c = (2 + 2 beta1) / (1 - beta1); lambda: preconditioned sharpness
  std::string config;                         ///< TOML
};

/// Reads a run file of hessian-train, finished or not.
/// \throws std::runtime_error  one line that names the file, if it cannot be read or holds no training run
RunSummary summarise_run(const std::filesystem::path& run_file);

}  // namespace hessian::experiments
