#pragma once

#include <string>

#include "train/train.h"

namespace hessian::experiments {

/// Calls run_training() and shows its progress in a line on stderr. On SIGINT or SIGTERM it saves a checkpoint and
/// returns.
TrainReport train_with_progress(const TrainOptions& options);

/// Formats a report as text: the outcome, the paths of the files, and the probes if the run has any.
std::string format_text(const TrainReport& report);

/// Formats a report as one JSON object; numbers that are not finite become null.
std::string format_json(const TrainReport& report);

}  // namespace hessian::experiments
