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
  double per_octave = 1;  ///< rates per doubling
};

/// Outcome of one finished training run.
struct RunOutcome {
  double lr = 0;
  int64_t seed = 0;
  bool diverged = false;
  double final_loss = 0;    ///< nats; may be NaN or infinite if the run diverged
  double initial_loss = 0;  ///< nats, before the first update
};

/// Learning rates between which training becomes unstable, as far as the runs show.
struct StabilityBracket {
  std::optional<double> largest_stable;
  /// Absent if no rate above `largest_stable` diverged: the limit of stability is then above all rates tried.
  std::optional<double> smallest_unstable_above;
};

/// What a sweep shows about one model.
struct LrSummary {
  StabilityBracket bracket;
  std::optional<double> best_loss;  ///< nats; absent if no rate is stable
  std::optional<double> best_lr;    ///< learning rate of the best loss; the smallest one if several rates have it
  /// Nats; absent if a run of the grid is missing or no rate of the grid is stable.
  std::optional<double> lr_sensitivity;
};

/// Bisection ends once the ratio of the bracket's ends is at most this, 2^(1/4).
inline constexpr double default_bisection_factor = 1.189207115002721;

/// Limits of LrGrid::per_octave and of the bisection factor: closer rates would look the same in format_rate().
inline constexpr double max_rates_per_octave = 256;
inline constexpr double min_bisection_factor = 1.01;

/// Returns whether two learning rates are equal to a relative 1e-9: far above rounding, far below any spacing in use.
bool same_rate(double a, double b);

/// Checks a grid.
/// \param key  name of the grid in messages, such as "sweep.lr"
/// \throws std::invalid_argument  unless 0 < from <= to and 0 < per_octave <= max_rates_per_octave
void check_grid(const LrGrid& grid, const std::string& key);

/// Checks the ratio of a bracket's ends at which bisection ends.
/// \throws std::invalid_argument  unless factor >= min_bisection_factor
void check_bisection_factor(double factor, const std::string& key);

/// Returns the rates from 2^(i / per_octave) for i = 0, 1, ... up to `to`. The last one may exceed `to` by a relative
/// 1e-9.
/// \throws std::invalid_argument  as check_grid()
std::vector<double> grid_rates(const LrGrid& grid);

/// Returns the bracket of the largest stable learning rate.
///
/// A rate is stable if every seed has an outcome there and none diverged; it is unstable if any diverged.
/// `largest_stable` is the largest stable rate, even if it lies above an unstable one. `smallest_unstable_above` is the
/// smallest unstable rate above it, or the smallest of all if no rate is stable.
///
/// \param outcomes  in any order; seeds that are not in `seeds` are ignored
/// \throws std::invalid_argument  if `seeds` is empty, or a rate and seed have two outcomes
StabilityBracket stability_bracket(const std::vector<RunOutcome>& outcomes, const std::vector<int64_t>& seeds);

/// Returns the rate to try next: the geometric mean of the bracket's ends, while unstable / stable > factor.
///
/// \return nothing if the bracket is narrow enough (with a relative slack of 1e-9) or has only one end
/// \throws std::invalid_argument  as check_bisection_factor()
std::optional<double> next_rate(const StabilityBracket& bracket, double factor = default_bisection_factor);

/// Returns the number of bisection rounds for a bracket of that ratio: the smallest k with ratio^(1 / 2^k) <= factor.
///
/// \throws std::invalid_argument  if the factor is too small, or the ratio below 1 or infinite
int bisection_rounds(double ratio, double factor = default_bisection_factor);

/// Summarises the runs of one model.
///
/// `best_loss` is the smallest mean over the seeds of the final loss, over all stable rates. With
/// l(eta) = mean over the seeds of min(final loss, initial loss), or of the initial loss if the run diverged or its final
/// loss is NaN,
///     lr_sensitivity = mean over eta in the grid of l(eta)  -  min over eta in the grid of l(eta).
/// Rates that bisection added do not enter lr_sensitivity: they would give the edge of stability more weight than the
/// rest.
///
/// \param grid  the rates of the grid
/// \throws std::invalid_argument  if `seeds` or `grid` is empty, or a rate and seed have two outcomes
/// Source: Wortsman et al. (2023), arXiv 2309.14322, section 2.2, for one seed.
LrSummary summarise(const std::vector<RunOutcome>& outcomes, const std::vector<double>& grid,
                    const std::vector<int64_t>& seeds);

/// Formats a rate with four significant digits, suitable for a file name: `1.414e-03`. Rates that differ by a relative
/// 1e-3 or more have different texts.
std::string format_rate(double rate);

}  // namespace hessian::experiments
