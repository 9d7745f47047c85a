#include "train/divergence.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "train/expected_value.h"

namespace hessian::experiments {

void check(const DivergenceOptions& options) {
  expect_value(std::isfinite(options.margin) && options.margin > 0, "divergence.margin", options.margin,
               "a positive number of nats");
  expect_value(options.patience > 0, "divergence.patience", options.patience, "a positive number of steps");
  expect_value(options.smoothing > 0 && options.smoothing % 2 == 1, "divergence.smoothing", options.smoothing,
               "an odd positive number of steps");
  expect_value(std::isfinite(options.plateau_drop) && options.plateau_drop >= 0, "divergence.plateau_drop",
               options.plateau_drop, "a positive number of nats, or 0 for no plateau");
  expect_value(options.plateau_steps >= 0, "divergence.plateau_steps", options.plateau_steps,
               "a positive number of steps, or 0 for the end of the run");
}

DivergenceMonitor::DivergenceMonitor(const DivergenceOptions& options) : options_(options) {
  check(options);
}

std::optional<Divergence> DivergenceMonitor::observe(int64_t step, double loss, double grad_norm) {
  if (first_step_ && step <= last_step_) {
    throw std::invalid_argument("divergence: step " + std::to_string(step) + " comes after step " +
                                std::to_string(last_step_) + ", expected increasing steps");
  }
  if (!first_step_) {
    start(step, loss);
  }
  last_step_ = step;
  if (verdict_) {
    return verdict_;
  }
  if (!std::isfinite(loss) || !std::isfinite(grad_norm)) {
    verdict_ = Divergence{DivergenceKind::non_finite, step};
    return verdict_;
  }
  smooth(loss);
  judge_rise(step);
  if (options_.plateau_steps > 0 && step >= options_.plateau_steps) {
    judge_plateau();
  }
  return verdict_;
}

std::optional<Divergence> DivergenceMonitor::finish() {
  if (first_step_) {
    judge_plateau();
  }
  return verdict_;
}

void DivergenceMonitor::start(int64_t step, double loss) {
  first_step_ = step;
  initial_loss_ = loss;
  best_loss_ = loss;
  smoothed_loss_ = loss;
  // Fills the window, because the median of a shorter one would prolong an early spike.
  window_.assign(static_cast<std::size_t>(options_.smoothing), loss);
}

void DivergenceMonitor::smooth(double loss) {
  window_[next_] = loss;
  next_ = (next_ + 1) % window_.size();
  scratch_ = window_;
  const auto middle = scratch_.begin() + static_cast<std::ptrdiff_t>(scratch_.size() / 2);
  std::nth_element(scratch_.begin(), middle, scratch_.end());
  smoothed_loss_ = *middle;
  best_loss_ = std::min(best_loss_, smoothed_loss_);
}

void DivergenceMonitor::judge_rise(int64_t step) {
  if (!(smoothed_loss_ > best_loss_ + options_.margin)) {
    rise_length_ = 0;
    return;
  }
  if (rise_length_ == 0) {
    rise_step_ = step;
  }
  ++rise_length_;
  if (rise_length_ == options_.patience) {
    verdict_ = Divergence{DivergenceKind::loss_rose, rise_step_};
  }
}

void DivergenceMonitor::judge_plateau() {
  if (!verdict_ && best_loss_ > initial_loss_ - options_.plateau_drop) {
    verdict_ = Divergence{DivergenceKind::never_left_plateau, *first_step_};
  }
}

std::string to_string(DivergenceKind kind) {
  switch (kind) {
    case DivergenceKind::non_finite:
      return "non_finite";
    case DivergenceKind::loss_rose:
      return "loss_rose";
    case DivergenceKind::never_left_plateau:
      return "never_left_plateau";
  }
  throw std::logic_error("divergence: unknown kind");
}

std::string describe(const Divergence& divergence) {
  const std::string step = std::to_string(divergence.step);
  switch (divergence.kind) {
    case DivergenceKind::non_finite:
      return "loss or gradient norm became non-finite at step " + step;
    case DivergenceKind::loss_rose:
      return "loss rose from step " + step + " on and stayed up";
    case DivergenceKind::never_left_plateau:
      return "loss never left its initial plateau, from step " + step + " on";
  }
  throw std::logic_error("divergence: unknown kind");
}

}  // namespace hessian::experiments
