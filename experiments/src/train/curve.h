#pragma once

#include <cstdint>
#include <limits>
#include <vector>

#include "hessian/run_file.h"
#include "train/divergence.h"

namespace hessian::experiments {

/// The recorded updates of a training run, one entry of each vector per step.
struct TrainingCurve {
  std::vector<int64_t> steps;
  std::vector<double> losses;      ///< nats
  std::vector<double> grad_norms;  ///< before clipping
  std::vector<double> seconds;     ///< duration of each update
  std::vector<int64_t> tokens;     ///< trained on so far
};

/// Reads the steps that all datasets hold, because datasets of a file that is being written may differ in length.
TrainingCurve read_training_curve(const RunFileReader& run);

/// Feeds the first `rows` steps of a curve to a new monitor.
void replay(const TrainingCurve& curve, std::size_t rows, DivergenceMonitor& monitor);

/// A recorded validation; step -1 and loss NaN if there is none.
struct RecordedValidation {
  int64_t step = -1;
  double loss = std::numeric_limits<double>::quiet_NaN();  ///< nats
};

/// Reads the last validation that was made no later than `max_step`.
RecordedValidation last_validation(const RunFileReader& run, int64_t max_step = std::numeric_limits<int64_t>::max());

}  // namespace hessian::experiments
