#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "train/divergence.h"

namespace hessian::experiments {

/// What a training run came to, from its run file alone.
struct RunSummary {
  bool finished = false;
  int64_t step = 0;            ///< updates recorded
  double learning_rate = 0;    ///< peak
  double initial_loss = 0;     ///< of the first step, nats; NaN without a step
  double loss = 0;             ///< of the last step, nats; NaN without a step
  double validation_loss = 0;  ///< the last one, nats; NaN if there is none
  double final_loss = 0;       ///< the last validation's where it was made at the end, else the mean of the last tenth
                               ///< of the steps' losses, nats; NaN where a non-finite loss ended the run
  double tokens_per_second = 0;  ///< over all steps, probes and validations left out
  std::optional<Divergence> divergence;
  /// The peak learning rates that the run's probes allow: the smallest over the probes of c / (lambda m), with m the
  /// schedule's multiplier at the probe. Absent where the run has no such probe.
  std::optional<double> activation_rate;  ///< c = 2; lambda the largest over blocks of the median of lambda_max(H_xx)
  std::optional<double> sharpness_rate;   ///< c = 2, lambda the sharpness
  std::optional<double> preconditioned_rate;  ///< c = (2 + 2 beta1) / (1 - beta1), lambda the preconditioned sharpness
  std::string config;                         ///< TOML
};

/// Reads a run file of hessian-train, finished or not.
/// \throws std::runtime_error  one line that names the file, if it is no such file
RunSummary summarise_run(const std::filesystem::path& run_file);

}  // namespace hessian::experiments
