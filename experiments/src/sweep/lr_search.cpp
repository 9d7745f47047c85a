#include "sweep/lr_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "train/expected_value.h"

namespace hessian::experiments {

namespace {

constexpr double rate_slack = 1e-9;

bool wider_than(double ratio, double factor) {
  return ratio > factor * (1 + rate_slack);
}

/// The outcomes at one learning rate, at most one per seed.
struct RateOutcomes {
  double lr;
  bool complete;  // every seed has an outcome
  bool diverged;  // the run of at least one seed diverged
  std::vector<RunOutcome> runs;

  bool stable() const { return complete && !diverged; }
};

void refuse_repeated_seeds(const std::vector<RunOutcome>& runs) {
  for (std::size_t i = 1; i < runs.size(); ++i) {
    if (runs[i].seed == runs[i - 1].seed) {
      throw std::invalid_argument("learning rate " + format_rate(runs[i].lr) + ", seed " +
                                  std::to_string(runs[i].seed) + ": two outcomes, expected one");
    }
  }
}

RateOutcomes collect(std::vector<RunOutcome> runs, const std::vector<int64_t>& seeds) {
  std::sort(runs.begin(), runs.end(), [](const RunOutcome& a, const RunOutcome& b) { return a.seed < b.seed; });
  refuse_repeated_seeds(runs);
  const auto has_run = [&runs](int64_t seed) {
    return std::any_of(runs.begin(), runs.end(), [seed](const RunOutcome& run) { return run.seed == seed; });
  };
  const bool complete = std::all_of(seeds.begin(), seeds.end(), has_run);
  const bool diverged = std::any_of(runs.begin(), runs.end(), [](const RunOutcome& run) { return run.diverged; });
  const double lr = runs.front().lr;
  return {lr, complete, diverged, std::move(runs)};
}

/// Groups outcomes by learning rate, ascending.
std::vector<RateOutcomes> by_rate(const std::vector<RunOutcome>& outcomes, const std::vector<int64_t>& seeds) {
  if (seeds.empty()) {
    throw std::invalid_argument("learning-rate search: no seeds, expected one or more");
  }
  std::vector<RunOutcome> sorted;
  std::copy_if(outcomes.begin(), outcomes.end(), std::back_inserter(sorted), [&seeds](const RunOutcome& run) {
    return std::find(seeds.begin(), seeds.end(), run.seed) != seeds.end();
  });
  std::sort(sorted.begin(), sorted.end(), [](const RunOutcome& a, const RunOutcome& b) { return a.lr < b.lr; });
  std::vector<RateOutcomes> rates;
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last =
        std::find_if_not(first, sorted.end(), [first](const RunOutcome& run) { return same_rate(run.lr, first->lr); });
    rates.push_back(collect({first, last}, seeds));
    first = last;
  }
  return rates;
}

StabilityBracket bracket_of(const std::vector<RateOutcomes>& rates) {
  StabilityBracket bracket;
  for (const RateOutcomes& rate : rates) {
    if (rate.stable()) {
      bracket = {rate.lr, std::nullopt};
    } else if (rate.diverged && !bracket.smallest_unstable_above) {
      bracket.smallest_unstable_above = rate.lr;
    }
  }
  return bracket;
}

template <typename Loss>
double mean_loss(const RateOutcomes& rate, Loss loss) {
  double sum = 0;
  for (const RunOutcome& run : rate.runs) {
    sum += loss(run);
  }
  return sum / static_cast<double>(rate.runs.size());
}

/// Returns the loss of a run that enters the sensitivity. What the losses of a diverged run happen to be when it stops does
/// not say how bad its rate is, so it counts with its initial loss.
double clipped_loss(const RunOutcome& run) {
  return run.diverged ? run.initial_loss : std::fmin(run.final_loss, run.initial_loss);  // fmin() ignores a NaN
}

std::optional<double> sensitivity(const std::vector<RateOutcomes>& rates, const std::vector<double>& grid) {
  std::vector<double> losses;
  bool any_stable = false;
  for (const double lr : grid) {
    const auto found =
        std::find_if(rates.begin(), rates.end(), [lr](const RateOutcomes& rate) { return same_rate(rate.lr, lr); });
    if (found == rates.end() || !found->complete) {
      return std::nullopt;
    }
    losses.push_back(mean_loss(*found, clipped_loss));
    any_stable = any_stable || found->stable();
  }
  if (!any_stable) {
    return std::nullopt;
  }
  const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(losses.size());
  const double result = mean - *std::min_element(losses.begin(), losses.end());
  return std::isfinite(result) ? std::optional(result) : std::nullopt;  // not finite if an initial loss is not
}

}  // namespace

bool same_rate(double a, double b) {
  return std::abs(a - b) <= rate_slack * std::max(std::abs(a), std::abs(b));
}

void check_grid(const LrGrid& grid, const std::string& key) {
  expect_value(std::isfinite(grid.from) && grid.from > 0, key + ".from", grid.from, "a positive learning rate");
  expect_value(std::isfinite(grid.to) && grid.to >= grid.from, key + ".to", grid.to,
               fmt::format("a learning rate of at least {}.from, {}", key, grid.from));
  expect_value(grid.per_octave > 0 && grid.per_octave <= max_rates_per_octave, key + ".per_octave", grid.per_octave,
               fmt::format("a positive number of at most {}", max_rates_per_octave));
}

void check_bisection_factor(double factor, const std::string& key) {
  expect_value(std::isfinite(factor) && factor >= min_bisection_factor, key, factor,
               fmt::format("a number of at least {}", min_bisection_factor));
}

std::vector<double> grid_rates(const LrGrid& grid) {
  check_grid(grid, "grid");
  const double octaves = std::log2(grid.to) - std::log2(grid.from) + std::log2(1 + rate_slack);
  const int steps = static_cast<int>(std::floor(octaves * grid.per_octave));
  std::vector<double> rates;
  for (int i = 0; i <= steps; ++i) {
    rates.push_back(grid.from * std::exp2(i / grid.per_octave));
  }
  return rates;
}

StabilityBracket stability_bracket(const std::vector<RunOutcome>& outcomes, const std::vector<int64_t>& seeds) {
  return bracket_of(by_rate(outcomes, seeds));
}

std::optional<double> next_rate(const StabilityBracket& bracket, double factor) {
  check_bisection_factor(factor, "bisection factor");
  if (!bracket.largest_stable || !bracket.smallest_unstable_above) {
    return std::nullopt;
  }
  const double ratio = *bracket.smallest_unstable_above / *bracket.largest_stable;
  if (!wider_than(ratio, factor)) {
    return std::nullopt;
  }
  return *bracket.largest_stable * std::sqrt(ratio);
}

int bisection_rounds(double ratio, double factor) {
  check_bisection_factor(factor, "bisection factor");
  expect_value(std::isfinite(ratio) && ratio >= 1, "bracket ratio", ratio, "a number of at least 1");
  int rounds = 0;
  for (; wider_than(ratio, factor); ratio = std::sqrt(ratio)) {
    ++rounds;
  }
  return rounds;
}

LrSummary summarise(const std::vector<RunOutcome>& outcomes, const std::vector<double>& grid,
                    const std::vector<int64_t>& seeds) {
  if (grid.empty()) {
    throw std::invalid_argument("learning-rate search: the grid has no rates, expected one or more");
  }
  const std::vector<RateOutcomes> rates = by_rate(outcomes, seeds);
  LrSummary summary{bracket_of(rates), std::nullopt, std::nullopt, sensitivity(rates, grid)};
  for (const RateOutcomes& rate : rates) {
    if (!rate.stable()) {
      continue;
    }
    const double loss = mean_loss(rate, [](const RunOutcome& run) { return run.final_loss; });
    if (std::isfinite(loss) && (!summary.best_loss || loss < *summary.best_loss)) {
      summary.best_loss = loss;
      summary.best_lr = rate.lr;
    }
  }
  return summary;
}

std::string format_rate(double rate) {
  char text[32];
  const auto [end, error] = std::to_chars(std::begin(text), std::end(text), rate, std::chars_format::scientific, 3);
  return {text, end};
}

}  // namespace hessian::experiments
