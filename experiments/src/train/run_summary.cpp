#include "train/run_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <vector>

#include "hessian/run_file.h"
#include "program/statistics.h"
#include "run_file/train_layout.h"
#include "train/config.h"
#include "train/curve.h"

namespace hessian::experiments {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

double final_loss(const TrainingCurve& curve, const RecordedValidation& validation) {
  if (curve.losses.empty() || !std::isfinite(curve.losses.back())) {
    return unknown;
  }
  if (validation.step == curve.steps.back()) {
    return validation.loss;
  }
  const auto tail = static_cast<std::ptrdiff_t>((curve.losses.size() + 9) / 10);
  return std::accumulate(curve.losses.end() - tail, curve.losses.end(), 0.0) / static_cast<double>(tail);
}

/// Reads a dataset of estimates, [P] or [P, N, S]; those that have not converged become NaN. `group` is the group of the run
/// file that has them and their `converged`.
DatasetValues<double> converged_lambdas(const RunFileReader& run, const std::string& group) {
  DatasetValues<double> lambdas = run.read<double>(group + "/lambda_max");
  const std::vector<uint8_t> converged = run.read<uint8_t>(group + "/converged").values;
  for (std::size_t i = 0; i < lambdas.values.size(); ++i) {
    if (i >= converged.size() || converged[i] == 0) {
      lambdas.values[i] = unknown;
    }
  }
  return lambdas;
}

/// Returns lambda_max(H_xx) at each probe: the largest over layers, since one unstable layer makes a step unstable, of
/// the median over sequences. NaN if the upper end of a spectrum was not computed or has not converged.
std::vector<double> activation_lambdas(const RunFileReader& run) {
  const auto [values, shape] = converged_lambdas(run, "/probe/residual");
  std::vector<double> lambdas;
  for (auto row = values.begin(); row != values.end();) {
    double largest = -std::numeric_limits<double>::infinity();
    for (int64_t layer = 0; layer < shape.at(1); ++layer, row += shape.at(2)) {
      const std::vector<double> of_layer(row, row + shape.at(2));
      const bool known = std::none_of(of_layer.begin(), of_layer.end(), [](double value) { return std::isnan(value); });
      largest = known && !std::isnan(largest) ? std::max(largest, median(of_layer)) : unknown;
    }
    lambdas.push_back(largest);
  }
  return lambdas;
}

/// Returns the minimum of c / (lambda m) over the probes with positive lambda; see RunSummary.
std::optional<double> allowed_rate(const RunFileReader& run, const TrainConfig& config, double c,
                                   const std::vector<double>& lambdas) {
  const auto steps = run.read<int64_t>("/probe/step").values;
  const LearningRateSchedule schedule = schedule_of(config);
  std::optional<double> allowed;
  for (std::size_t i = 0; i < std::min(steps.size(), lambdas.size()); ++i) {
    // Takes m of the update that follows the probe, or of the last update for a probe at the end.
    const double m = multiplier(schedule, std::min(steps[i], config.steps - 1));
    if (lambdas[i] > 0 && m > 0 && std::isfinite(lambdas[i])) {
      allowed = std::min(allowed.value_or(std::numeric_limits<double>::infinity()), c / (lambdas[i] * m));
    }
  }
  return allowed;
}

void read_thresholds(const RunFileReader& run, const TrainConfig& config, RunSummary& summary) {
  if (run.contains(probe_path("residual", "lambda_max"))) {
    summary.activation_rate = allowed_rate(run, config, 2.0, activation_lambdas(run));
  }
  if (run.contains(sharpness_group + "/lambda_max")) {
    const double beta = config.optimizer.beta1;
    summary.sharpness_rate = allowed_rate(run, config, 2.0, converged_lambdas(run, sharpness_group).values);
    summary.preconditioned_rate = allowed_rate(run, config, (2 + 2 * beta) / (1 - beta),
                                               converged_lambdas(run, preconditioned_sharpness_group).values);
  }
}

}  // namespace

RunSummary summarise_run(const std::filesystem::path& run_file) {
  const RunFileReader run(run_file);
  if (!run.contains("/train/step")) {
    throw std::runtime_error(run_file.string() + ": holds no training run; it was written by " + run.info().program);
  }
  TrainConfig config;
  read_config_text(run.info().config, run_file.string(), train_fields(config));
  const TrainingCurve curve = read_training_curve(run);
  RunSummary summary;
  summary.finished = run.finished();
  summary.config = run.info().config;
  summary.initial_loss = curve.losses.empty() ? unknown : curve.losses.front();
  summary.loss = curve.losses.empty() ? unknown : curve.losses.back();
  summary.step = curve.steps.empty() ? 0 : curve.steps.back();
  const RecordedValidation validation = last_validation(run);
  summary.validation_loss = validation.loss;
  summary.final_loss = final_loss(curve, validation);
  const double seconds = std::accumulate(curve.seconds.begin(), curve.seconds.end(), 0.0);
  summary.tokens_per_second = seconds > 0 ? static_cast<double>(curve.tokens.back()) / seconds : 0.0;
  DivergenceMonitor monitor(divergence_of(config));
  replay(curve, curve.steps.size(), monitor);
  summary.divergence = summary.finished ? monitor.finish() : monitor.verdict();
  read_thresholds(run, config, summary);
  return summary;
}

}  // namespace hessian::experiments
