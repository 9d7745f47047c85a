#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hessian::experiments {

/// Learning rates evenly spaced in log2.
struct LrGrid {
  double from = 1e-4;
  double to = 1e-1;
  double per_octave = 1;  ///< rates in each doubling
};

/// One finished training run of a sweep.
struct RunOutcome {
  double lr = 0;
  int64_t seed = 0;
  bool diverged = false;
  double final_loss = 0;    ///< nats; may be NaN or infinite where the run diverged
  double initial_loss = 0;  ///< nats, before the first update
};

/// Where stability ends, as far as the runs tell.
struct StabilityBracket {
  std::optional<double> largest_stable;
  /// Absent: no rate above `largest_stable` diverged, so that the end lies above the rates tried.
  std::optional<double> smallest_unstable_above;
};

struct LrSummary {
  StabilityBracket bracket;
  std::optional<double> best_loss;  ///< nats; absent where no rate is stable
  std::optional<double> best_lr;    ///< its learning rate, the smaller one of two equals
  /// Nats; absent while a run of the grid is missing, or where no rate of the grid is stable.
  std::optional<double> lr_sensitivity;
};

/// A bisection ends when the bracket's ends are within this factor, 2^(1/4).
inline constexpr double default_bisection_factor = 1.189207115002721;

/// Closer rates would look the same in format_rate.
inline constexpr double most_rates_per_octave = 256;
inline constexpr double smallest_bisection_factor = 1.01;

/// Whether two learning rates are one, to a relative 1e-9: far above rounding, far below any spacing in use.
bool same_rate(double a, double b);

/// from 2^(i / per_octave) for i = 0, 1, ... up to `to`, which is passed by a relative 1e-9 at most.
///
/// \throws std::invalid_argument  unless 0 < from <= to and 0 < per_octave <= 256; closer rates would look the same
///                                in `format_rate`
std::vector<double> grid_rates(const LrGrid& grid);

/// The bracket of the largest stable learning rate.
///
/// A rate is stable if every seed has an outcome there and none diverged; unstable if any diverged. `largest_stable` is
/// the largest stable rate, even above an unstable one; `smallest_unstable_above` the smallest unstable rate above it,
/// or the smallest of all where none is stable.
///
/// \param outcomes  in any order; those of seeds not in `seeds` do not count
/// \throws std::invalid_argument  if `seeds` is empty or a rate and seed has two outcomes
StabilityBracket stability_bracket(const std::vector<RunOutcome>& outcomes, const std::vector<int64_t>& seeds);

/// The rate to try next: the bracket's geometric mean, sqrt(stable unstable), while unstable / stable > factor.
///
/// \return nothing where the bracket is narrow enough (with a relative slack of 1e-9) or has one end only
/// \throws std::invalid_argument  if the factor is below 1.01; closer rates would look the same in `format_rate`
std::optional<double> next_rate(const StabilityBracket& bracket, double factor = default_bisection_factor);

/// The smallest k with ratio^(1 / 2^k) <= factor: the rounds of bisection that a bracket of that ratio needs.
///
/// \throws std::invalid_argument  if the factor is below 1.01, or the ratio below 1 or infinite
int bisection_rounds(double ratio, double factor = default_bisection_factor);

/// What a sweep has found.
///
/// `best_loss` is the smallest mean over the seeds of the final loss, over all stable rates. With
/// l(eta) = mean over the seeds of min(final loss, initial loss), where NaN counts as the initial loss,
///     lr_sensitivity = mean over eta in the grid of l(eta)  -  min over eta in the grid of l(eta).
/// Rates added by bisection are left out: they would weigh the edge of stability more than the rest of the range.
///
/// \param grid  the rates of the grid
/// \throws std::invalid_argument  if `seeds` or `grid` is empty or a rate and seed has two outcomes
/// Source: Wortsman et al. (2023), arXiv 2309.14322, section 2.2, for one seed.
LrSummary summarise(const std::vector<RunOutcome>& outcomes, const std::vector<double>& grid,
                    const std::vector<int64_t>& seeds);

/// Four significant digits, as for a file name: `1.414e-03`. Rates that differ by a relative 1e-3 differ in it too.
std::string format_rate(double rate);

}  // namespace hessian::experiments
