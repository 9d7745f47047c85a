#pragma once

#include <string>

#include "train/train.h"

namespace hessian::experiments {

/// run_training with a progress line, from which SIGINT and SIGTERM take leave in good order.
TrainReport train_with_progress(const TrainOptions& options);

/// The report for people: how the run ended, where its files are, and the curvature along the way where it was probed.
std::string format_text(const TrainReport& report);

/// The report as one JSON object; numbers that are not finite become null.
std::string format_json(const TrainReport& report);

}  // namespace hessian::experiments
