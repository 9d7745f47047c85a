#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hessian::experiments {

/// Learning rate over S steps relative to its peak; the first W steps are a warm-up.
struct LearningRateSchedule {
  std::string name = "linear";  ///< linear, cosine, constant or wsd (warm-up, stable, decay)
  int64_t steps = 1;            ///< S
  int64_t warmup = 0;           ///< W < S
  int64_t decay = 1;            ///< D: steps of wsd's decay, at most S - W
  double final_fraction = 0.0;  ///< f: final value of linear, cosine and wsd
};

/// Returns the multiplier at step s = 0 ... S-1: (s+1)/(W+1) during the warm-up, so that it reaches 1 at s = W; then,
/// with p = (s-W)/(S-W),
///   linear    f + (1-f) (1-p); for f = 0 the last step has 1/(S-W), as in the official SimpleGPT code
///   cosine    f + (1-f) (1 + cos(pi p)) / 2   (Loshchilov & Hutter 2017, arXiv 1608.03983)
///   constant  1
///   wsd       1 until s = S-D, then linear over the D steps of the decay   (Hu et al. 2024, arXiv 2404.06395)
double multiplier(const LearningRateSchedule& schedule, int64_t step);

/// Returns the names of all schedules.
const std::vector<std::string>& schedule_words();

}  // namespace hessian::experiments
