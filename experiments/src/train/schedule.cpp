#include "train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace hessian::experiments {
namespace {

/// Returns the multiplier after `done` of `all` steps of a linear decay.
double linear_decay(int64_t done, int64_t all, double final_fraction) {
  const double left = 1.0 - static_cast<double>(done) / static_cast<double>(all);
  return final_fraction + (1.0 - final_fraction) * left;
}

}  // namespace

double multiplier(const LearningRateSchedule& schedule, int64_t step) {
  if (step < schedule.warmup) {
    return static_cast<double>(step + 1) / static_cast<double>(schedule.warmup + 1);
  }
  const int64_t after = step - schedule.warmup;
  const int64_t rest = schedule.steps - schedule.warmup;
  if (schedule.name == "linear") {
    return linear_decay(after, rest, schedule.final_fraction);
  }
  if (schedule.name == "cosine") {
    const double progress = static_cast<double>(after) / static_cast<double>(rest);
    return schedule.final_fraction +
           (1.0 - schedule.final_fraction) * (1.0 + std::cos(std::numbers::pi * progress)) / 2;
  }
  if (schedule.name == "wsd") {
    return linear_decay(std::max<int64_t>(0, after - (rest - schedule.decay)), schedule.decay, schedule.final_fraction);
  }
  if (schedule.name == "constant") {
    return 1.0;
  }
  throw std::invalid_argument("'" + schedule.name + "' is not a schedule");
}

const std::vector<std::string>& schedule_words() {
  static const std::vector<std::string> words = {"linear", "cosine", "constant", "wsd"};
  return words;
}

}  // namespace hessian::experiments
