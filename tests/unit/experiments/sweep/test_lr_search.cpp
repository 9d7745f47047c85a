#include "sweep/lr_search.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>

#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::LrGrid;
using experiments::LrSummary;
using experiments::RunOutcome;
using experiments::stability_bracket;
using experiments::StabilityBracket;
using experiments::summarise;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
const std::vector<int64_t> two_seeds = {1, 2};

RunOutcome good(double lr, int64_t seed, double loss = 2) {
  return {.lr = lr, .seed = seed, .diverged = false, .final_loss = loss, .initial_loss = 6};
}

RunOutcome bad(double lr, int64_t seed, double loss = nan) {
  return {.lr = lr, .seed = seed, .diverged = true, .final_loss = loss, .initial_loss = 6};
}

void expect_bracket(const StabilityBracket& found, std::optional<double> stable, std::optional<double> unstable) {
  EXPECT_EQ(found.largest_stable, stable);
  EXPECT_EQ(found.smallest_unstable_above, unstable);
}

TEST(LrGrid, HasItsRatesEvenlySpacedInLog2WithBothEnds) {
  EXPECT_EQ(experiments::grid_rates({1, 8, 1}), (std::vector<double>{1, 2, 4, 8}));
  EXPECT_EQ(experiments::grid_rates({1, 7.9, 1}), (std::vector<double>{1, 2, 4}));
  EXPECT_EQ(experiments::grid_rates({1, 16, 0.5}), (std::vector<double>{1, 4, 16}));
  EXPECT_EQ(experiments::grid_rates({1e-3, 1e-3, 1}), (std::vector<double>{1e-3}));
  EXPECT_EQ(experiments::grid_rates({1e308, std::numeric_limits<double>::max(), 1}), (std::vector<double>{1e308}));
}

TEST(LrGrid, KeepsItsLastRateDespiteRounding) {
  for (const double from : {1e-5, 3e-4, 0.7}) {
    for (const double per_octave : {1.0, 2.0, 3.0, 7.0}) {
      for (int steps = 0; steps < 60; ++steps) {
        SCOPED_TRACE(std::to_string(from) + ", " + std::to_string(per_octave) + " per octave, " +
                     std::to_string(steps));
        // Multiplies step by step, so that rounding errors accumulate.
        double to = from;
        for (int i = 0; i < steps; ++i) {
          to *= std::pow(2.0, 1 / per_octave);
        }
        const auto rates = experiments::grid_rates({from, to, per_octave});
        ASSERT_EQ(rates.size(), static_cast<std::size_t>(steps + 1));
        EXPECT_TRUE(experiments::same_rate(rates.back(), to));
      }
    }
  }
}

std::string refusal(const LrGrid& grid) {
  return support::refusal_of<std::invalid_argument>([&] { experiments::grid_rates(grid); });
}

TEST(LrGrid, RefusesRangesByTheirKeys) {
  EXPECT_EQ(refusal({0, 1, 1}), "grid.from is 0, expected a positive learning rate");
  EXPECT_EQ(refusal({nan, 1, 1}), "grid.from is nan, expected a positive learning rate");
  EXPECT_EQ(refusal({1, 0.5, 1}), "grid.to is 0.5, expected a learning rate of at least grid.from, 1");
  EXPECT_EQ(refusal({1, infinity, 1}), "grid.to is inf, expected a learning rate of at least grid.from, 1");
  EXPECT_EQ(refusal({1, 2, 0}), "grid.per_octave is 0, expected a positive number of at most 256");
  EXPECT_EQ(refusal({1, 2, 1000}), "grid.per_octave is 1000, expected a positive number of at most 256");
}

TEST(StabilityBracket, LiesBetweenTheLargestStableAndTheSmallestUnstableRate) {
  expect_bracket(
      stability_bracket({bad(4, 2), good(1, 1), good(2, 2), good(1, 2), good(4, 1), good(2, 1), bad(8, 1)}, two_seeds),
      2.0, 4.0);
}

TEST(StabilityBracket, TakesAStableRateAboveAnUnstableOne) {
  expect_bracket(stability_bracket({good(1, 1), bad(2, 1), good(4, 1), bad(8, 1), bad(16, 1)}, {1}), 4.0, 8.0);
}

TEST(StabilityBracket, CountsNoRateWithAMissingSeedAsStable) {
  expect_bracket(stability_bracket({good(1, 1), good(1, 2), good(2, 1), bad(4, 1)}, two_seeds), 1.0, 4.0);
}

TEST(StabilityBracket, CountsARateAsUnstableIfOneSeedDiverged) {
  expect_bracket(stability_bracket({good(1, 1), good(1, 2), bad(2, 2)}, two_seeds), 1.0, 2.0);
}

TEST(StabilityBracket, IsOpenIfEverythingOrNothingIsStable) {
  expect_bracket(stability_bracket({good(1, 1), good(2, 1)}, {1}), 2.0, std::nullopt);
  expect_bracket(stability_bracket({bad(4, 1), bad(2, 1)}, {1}), std::nullopt, 2.0);
  expect_bracket(stability_bracket({}, {1}), std::nullopt, std::nullopt);
}

TEST(StabilityBracket, TreatsRatesThatDifferByRoundingAsEqual) {
  const double rounded = 0.1 * 3;
  ASSERT_NE(rounded, 0.3);
  expect_bracket(stability_bracket({good(0.1, 1), good(0.1, 2), good(0.3, 1), good(rounded, 2)}, two_seeds), 0.3,
                 std::nullopt);
}

TEST(StabilityBracket, IgnoresOtherSeedsAndRefusesTwoOutcomesOfOne) {
  expect_bracket(stability_bracket({good(1, 1), bad(1, 7)}, {1}), 1.0, std::nullopt);
  EXPECT_THROW(stability_bracket({good(1, 1), good(2, 1), bad(1, 1)}, {1}), std::invalid_argument);
  EXPECT_THROW(stability_bracket({good(1, 1)}, {}), std::invalid_argument);
}

TEST(NextRate, IsTheGeometricMeanUntilTheBracketIsNarrow) {
  EXPECT_DOUBLE_EQ(experiments::next_rate({1.0, 4.0}).value(), 2);
  EXPECT_EQ(experiments::next_rate({1.0, experiments::default_bisection_factor * (1 + 1e-12)}), std::nullopt);
  EXPECT_EQ(experiments::next_rate({1.0, std::nullopt}), std::nullopt);
  EXPECT_EQ(experiments::next_rate({std::nullopt, 1.0}), std::nullopt);
  EXPECT_THROW(experiments::next_rate({1.0, 4.0}, 1.0), std::invalid_argument);
  EXPECT_THROW(experiments::next_rate({1.0, 4.0}, nan), std::invalid_argument);
}

TEST(NextRate, FindsARandomThresholdInThePredictedNumberOfRounds) {
  std::mt19937 generator(1);
  std::uniform_real_distribution<double> uniform(0, 1);
  for (int trial = 0; trial < 500; ++trial) {
    const double per_octave = 1 + 3 * uniform(generator);
    const double factor = 1.02 + uniform(generator) / 2;
    const auto rates = experiments::grid_rates({1e-4, 1e-1, per_octave});
    const double edge = rates.front() * std::pow(rates.back() / rates.front(), uniform(generator));
    SCOPED_TRACE("trial " + std::to_string(trial) + ", edge " + std::to_string(edge));
    const auto train = [edge](double lr) { return lr < edge ? good(lr, 1) : bad(lr, 1); };
    std::vector<RunOutcome> outcomes;
    std::transform(rates.begin(), rates.end(), std::back_inserter(outcomes), train);
    StabilityBracket bracket = stability_bracket(outcomes, {1});
    if (!bracket.largest_stable || !bracket.smallest_unstable_above) {
      continue;  // the threshold lies beyond an end of the grid
    }
    const int predicted = experiments::bisection_rounds(std::exp2(1 / per_octave), factor);
    int rounds = 0;
    while (const auto rate = experiments::next_rate(bracket, factor)) {
      ASSERT_LT(rounds, 100);
      outcomes.push_back(train(*rate));
      bracket = stability_bracket(outcomes, {1});
      ++rounds;
    }
    EXPECT_EQ(rounds, predicted);
    EXPECT_LE(*bracket.smallest_unstable_above / *bracket.largest_stable, factor * (1 + 1e-8));
    EXPECT_LT(*bracket.largest_stable, edge);
    EXPECT_GE(*bracket.smallest_unstable_above, edge);
  }
}

TEST(BisectionRounds, CountsSquareRoots) {
  EXPECT_EQ(experiments::bisection_rounds(1), 0);
  EXPECT_EQ(experiments::bisection_rounds(2), 2);  // 2 -> 2^(1/2) -> 2^(1/4)
  EXPECT_EQ(experiments::bisection_rounds(16, 2), 2);
  EXPECT_EQ(experiments::bisection_rounds(17, 2), 3);
  EXPECT_THROW(experiments::bisection_rounds(0.5), std::invalid_argument);
  EXPECT_THROW(experiments::bisection_rounds(infinity), std::invalid_argument);
}

TEST(Summary, MatchesAHandComputation) {
  // Mean clipped losses: rate 1: 3; rate 2: 2; rate 4: (2.5 + min(9, 6)) / 2 = 4.25; rate 8: (6 + 6) / 2.
  const std::vector<RunOutcome> outcomes = {good(1, 1, 2.5), good(1, 2, 3.5), good(2, 1, 1.75), good(2, 2, 2.25),
                                            good(4, 1, 2.5), bad(4, 2, 9),    bad(8, 1, nan),   bad(8, 2, infinity)};
  const LrSummary summary = summarise(outcomes, {1, 2, 4, 8}, two_seeds);
  expect_bracket(summary.bracket, 2.0, 4.0);
  EXPECT_EQ(summary.best_loss, 2.0);
  EXPECT_EQ(summary.best_lr, 2.0);
  ASSERT_TRUE(summary.lr_sensitivity);
  EXPECT_DOUBLE_EQ(*summary.lr_sensitivity, (3 + 2 + 4.25 + 6) / 4 - 2);  // exact except for the last bit
}

TEST(Summary, CountsADivergedRunWithItsInitialLossWhateverItsLastStepsHappenToBe) {
  // Rate 1: 2. Rate 2: (3 + 6) / 2 = 4.5, though the run that was stopped at 2.5 looks better than the other. Rate 4: 6.
  for (const double loss : {2.5, 9.0, nan, -infinity}) {
    const LrSummary summary = summarise(
        {good(1, 1), good(1, 2), good(2, 1, 3), bad(2, 2, loss), bad(4, 1, loss), bad(4, 2)}, {1, 2, 4}, two_seeds);
    EXPECT_DOUBLE_EQ(summary.lr_sensitivity.value(), (2 + 4.5 + 6) / 3 - 2) << loss;
  }
  // A run that ends above its initial loss without having diverged counts with it, too.
  EXPECT_DOUBLE_EQ(summarise({good(1, 1), good(2, 1, 7)}, {1, 2}, {1}).lr_sensitivity.value(), (2 + 6) / 2.0 - 2);
}

TEST(Summary, LeavesBisectionRatesOutOfTheSensitivityButNotOutOfTheBestLoss) {
  std::vector<RunOutcome> outcomes = {good(1, 1, 3), good(2, 1, 2), bad(4, 1, 7)};
  const LrSummary grid_only = summarise(outcomes, {1, 2, 4}, {1});
  outcomes.push_back(good(std::sqrt(8), 1, 1));
  const LrSummary bisected = summarise(outcomes, {1, 2, 4}, {1});
  EXPECT_EQ(bisected.lr_sensitivity, grid_only.lr_sensitivity);
  EXPECT_EQ(bisected.best_loss, 1.0);
  EXPECT_EQ(bisected.best_lr, std::sqrt(8));
}

TEST(Summary, TakesTheBestLossFromStableRatesOnly) {
  const LrSummary summary = summarise({good(1, 1, 3), good(1, 2, 3), good(2, 1, 1), bad(2, 2, 1)}, {1, 2}, two_seeds);
  EXPECT_EQ(summary.best_loss, 3.0);
}

TEST(Summary, PrefersTheSmallerOfTwoEqualRatesAndIgnoresNonFiniteLosses) {
  const LrSummary summary = summarise({good(1, 1, nan), good(2, 1, 3), good(4, 1, 3)}, {1, 2, 4}, {1});
  EXPECT_EQ(summary.best_loss, 3.0);
  EXPECT_EQ(summary.best_lr, 2.0);
}

TEST(Summary, HasNoSensitivityIfARunOfTheGridIsMissingOrNothingIsStable) {
  EXPECT_EQ(summarise({good(1, 1), good(1, 2), good(2, 1)}, {1, 2}, two_seeds).lr_sensitivity, std::nullopt);
  EXPECT_EQ(summarise({good(1, 1)}, {1, 2}, {1}).lr_sensitivity, std::nullopt);
  const LrSummary unstable = summarise({bad(1, 1), bad(2, 1)}, {1, 2}, {1});
  EXPECT_EQ(unstable.lr_sensitivity, std::nullopt);
  EXPECT_EQ(unstable.best_loss, std::nullopt);
  EXPECT_EQ(unstable.best_lr, std::nullopt);
  EXPECT_THROW(summarise({good(1, 1)}, {}, {1}), std::invalid_argument);
}

TEST(Summary, HasNoSensitivityIfAnInitialLossIsNan) {
  RunOutcome broken = bad(2, 1);
  broken.initial_loss = nan;
  EXPECT_EQ(summarise({good(1, 1), broken}, {1, 2}, {1}).lr_sensitivity, std::nullopt);
}

TEST(FormatRate, IsShortAndDiffersForAllRatesOfAFineGrid) {
  EXPECT_EQ(experiments::format_rate(std::sqrt(2) * 1e-3), "1.414e-03");
  EXPECT_EQ(experiments::format_rate(1), "1.000e+00");
  const auto rates = experiments::grid_rates({1e-6, 1, 256});
  std::set<std::string> names;
  for (const double rate : rates) {
    names.insert(experiments::format_rate(rate));
  }
  EXPECT_EQ(names.size(), rates.size());
}

}  // namespace
}  // namespace hessian::tests
