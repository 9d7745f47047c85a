#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hessian::experiments {

/// How the learning rate goes, relative to its peak, over S steps of which the first W are a warm-up.
struct LearningRateSchedule {
  std::string name = "linear";  ///< linear, cosine, constant or wsd (warm-up, stable, decay)
  int64_t steps = 1;            ///< S
  int64_t warmup = 0;           ///< W < S
  int64_t decay = 1;            ///< steps of wsd's decay, at most S - W
  double final_fraction = 0.0;  ///< where linear, cosine and wsd end
};

/// The multiplier at step s = 0 ... S-1: (s+1)/(W+1) in the warm-up, so that it reaches 1 at s = W; then, with f the
/// final fraction and p = (s-W)/(S-W),
///   linear    f + (1-f) (1-p), which ends at 1/(S-W) for f = 0, as the official SimpleGPT code's does
///   cosine    f + (1-f) (1 + cos(pi p)) / 2   (Loshchilov & Hutter 2017, arXiv 1608.03983)
///   constant  1
///   wsd       1 until s = S-D, then linear over the D steps of the decay   (Hu et al. 2024, arXiv 2404.06395)
double multiplier(const LearningRateSchedule& schedule, int64_t step);

/// The words for schedules.
const std::vector<std::string>& schedule_words();

}  // namespace hessian::experiments
