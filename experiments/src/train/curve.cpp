#include "train/curve.h"

#include <algorithm>

namespace hessian::experiments {

TrainingCurve read_training_curve(const RunFileReader& run) {
  TrainingCurve curve{run.read<int64_t>("/train/step").values, run.read<double>("/train/loss").values,
                      run.read<double>("/train/grad_norm").values, run.read<double>("/train/step_seconds").values,
                      run.read<int64_t>("/train/tokens").values};
  const std::size_t rows = std::min(
      {curve.steps.size(), curve.losses.size(), curve.grad_norms.size(), curve.seconds.size(), curve.tokens.size()});
  curve.steps.resize(rows);
  curve.losses.resize(rows);
  curve.grad_norms.resize(rows);
  curve.seconds.resize(rows);
  curve.tokens.resize(rows);
  return curve;
}

void replay(const TrainingCurve& curve, std::size_t rows, DivergenceMonitor& monitor) {
  for (std::size_t i = 0; i < rows; ++i) {
    monitor.observe(curve.steps[i], curve.losses[i], curve.grad_norms[i]);
  }
}

RecordedValidation last_validation(const RunFileReader& run, int64_t max_step) {
  const auto steps = run.read<int64_t>("/train/val_step").values;
  const auto losses = run.read<double>("/train/val_loss").values;
  RecordedValidation last;
  for (std::size_t i = 0; i < std::min(steps.size(), losses.size()); ++i) {
    if (steps[i] >= 0 && steps[i] <= max_step) {
      last = {steps[i], losses[i]};
    }
  }
  return last;
}

}  // namespace hessian::experiments
