#include "train/divergence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <stdexcept>

#include "refusal.h"

namespace hessian::tests {
namespace {

using experiments::describe;
using experiments::Divergence;
using experiments::DivergenceKind;
using experiments::DivergenceMonitor;
using experiments::DivergenceOptions;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double nan = std::numeric_limits<double>::quiet_NaN();
const DivergenceOptions defaults;

// Returns the training curve of a language model: from `initial` towards `final`, with normal noise.
std::vector<double> descent(std::size_t steps, double initial, double final, double noise = 0, unsigned seed = 1) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(0, 1);
  std::vector<double> losses(steps);
  for (std::size_t t = 0; t < steps; ++t) {
    losses[t] = final + (initial - final) / std::pow(1 + static_cast<double>(t) / 20, 0.7) + noise * normal(generator);
  }
  return losses;
}

void raise(std::vector<double>& losses, std::size_t from, std::size_t length, double height) {
  for (std::size_t t = from; t < from + length; ++t) {
    losses.at(t) += height;
  }
}

void observe(DivergenceMonitor& monitor, const std::vector<double>& losses, std::size_t from, std::size_t to) {
  for (std::size_t t = from; t < to; ++t) {
    monitor.observe(static_cast<int64_t>(t), losses[t], 1.0);
  }
}

// Returns the verdict on a finished run with gradient norms of 1.
std::optional<Divergence> verdict_on(const std::vector<double>& losses, const DivergenceOptions& options = defaults) {
  DivergenceMonitor monitor(options);
  observe(monitor, losses, 0, losses.size());
  return monitor.finish();
}

// Applies the definition in the header without any state: sorts every window from scratch.
std::optional<Divergence> verdict_by_definition(const std::vector<double>& losses, const DivergenceOptions& options) {
  double best = losses.front();
  int64_t above = 0;
  for (std::size_t t = 0; t < losses.size(); ++t) {
    if (!std::isfinite(losses[t])) {
      return Divergence{DivergenceKind::non_finite, static_cast<int64_t>(t)};
    }
    std::vector<double> window;
    for (int64_t back = 0; back < options.smoothing; ++back) {
      window.push_back(losses[static_cast<std::size_t>(std::max<int64_t>(static_cast<int64_t>(t) - back, 0))]);
    }
    std::sort(window.begin(), window.end());
    const double smoothed = window[window.size() / 2];
    best = std::min(best, smoothed);
    above = smoothed > best + options.margin ? above + 1 : 0;
    if (above == options.patience) {
      return Divergence{DivergenceKind::loss_rose, static_cast<int64_t>(t) - options.patience + 1};
    }
    if (options.plateau_steps > 0 && static_cast<int64_t>(t) >= options.plateau_steps &&
        best > losses.front() - options.plateau_drop) {
      return Divergence{DivergenceKind::never_left_plateau, 0};
    }
  }
  if (best > losses.front() - options.plateau_drop) {
    return Divergence{DivergenceKind::never_left_plateau, 0};
  }
  return std::nullopt;
}

TEST(Divergence, AcceptsSmoothAndNoisyDescentOfByteAndWordModels) {
  for (const double initial : {std::log(256.0) + 0.5, std::log(32000.0) + 0.5}) {
    for (unsigned seed = 0; seed < 20; ++seed) {
      SCOPED_TRACE("initial loss " + std::to_string(initial) + ", seed " + std::to_string(seed));
      EXPECT_EQ(verdict_on(descent(300, initial, 1.5, 0, seed)), std::nullopt);
      EXPECT_EQ(verdict_on(descent(300, initial, 1.5, 0.1, seed)), std::nullopt);
      EXPECT_EQ(verdict_on(descent(20000, initial, 1.5, 0.1, seed)), std::nullopt);
    }
  }
}

TEST(Divergence, IgnoresASpikeShorterThanItsPatienceAtAnyStep) {
  const auto length = static_cast<std::size_t>(defaults.patience - 1);
  for (const std::size_t from : {1U, 2U, 7U, 300U, 1800U}) {
    SCOPED_TRACE("spike from step " + std::to_string(from));
    std::vector<double> losses = descent(2000, 2, 0.5);
    raise(losses, from, length, 10);
    EXPECT_EQ(verdict_on(losses), std::nullopt);
    raise(losses, from + length, 1, 10);
    const Divergence expected{DivergenceKind::loss_rose, static_cast<int64_t>(from) + defaults.smoothing / 2};
    EXPECT_EQ(verdict_on(losses), expected);
  }
}

TEST(Divergence, IgnoresManySpikesThatTogetherOutlastItsPatience) {
  std::vector<double> losses = descent(3000, 6, 1.5, 0.1);
  for (std::size_t from = 200; from < 2800; from += 200) {
    raise(losses, from, 80, 4);
  }
  EXPECT_EQ(verdict_on(losses), std::nullopt);
}

TEST(Divergence, FindsASlowRise) {
  std::vector<double> losses = descent(2000, 6, 1.5, 0.1);
  for (std::size_t t = 1000; t < losses.size(); ++t) {
    losses[t] += 0.002 * static_cast<double>(t - 1000);
  }
  const auto verdict = verdict_on(losses);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, DivergenceKind::loss_rose);
  // The added loss meets the margin at step 1250; the remaining descent delays that, noise may hasten it.
  EXPECT_NEAR(static_cast<double>(verdict->step), 1250, 60);
}

TEST(Divergence, FindsARelapseToTokenFrequenciesAfterLongTraining) {
  std::vector<double> losses = descent(10000, 10.9, 2.2, 0.1);
  std::fill(losses.begin() + 9000, losses.end(), 7.4);
  const Divergence expected{DivergenceKind::loss_rose, 9000 + defaults.smoothing / 2};
  EXPECT_EQ(verdict_on(losses), expected);
}

TEST(Divergence, IgnoresARiseAtTheEndThatIsShorterThanItsPatience) {
  std::vector<double> losses = descent(1000, 6, 1.5, 0.1);
  const auto first = static_cast<std::size_t>(1000 - defaults.patience);
  raise(losses, first, 1000 - first, 4);
  EXPECT_EQ(verdict_on(losses), std::nullopt);
}

TEST(Divergence, CountsTheInitialLossAsTheFirstBestLoss) {
  std::vector<double> losses(400, 9.0);
  losses[0] = 6.0;
  const auto verdict = verdict_on(losses);
  ASSERT_TRUE(verdict);
  EXPECT_EQ(verdict->kind, DivergenceKind::loss_rose);
}

TEST(Divergence, FindsTheFirstNumberThatIsNotFinite) {
  const std::vector<double> good = descent(200, 6, 1.5, 0.1);
  for (const std::size_t place : {0U, 1U, 57U, 199U}) {
    for (const double bad : {nan, infinity, -infinity}) {
      SCOPED_TRACE(std::to_string(bad) + " at step " + std::to_string(place));
      const Divergence expected{DivergenceKind::non_finite, static_cast<int64_t>(place)};
      std::vector<double> losses = good;
      losses[place] = bad;
      EXPECT_EQ(verdict_on(losses), expected);
      DivergenceMonitor monitor(defaults);
      for (std::size_t t = 0; t < good.size(); ++t) {
        monitor.observe(static_cast<int64_t>(t), good[t], t == place ? bad : 1.0);
      }
      EXPECT_EQ(monitor.finish(), expected);
    }
  }
}

TEST(Divergence, FindsARunThatNeverLeavesItsPlateau) {
  const Divergence expected{DivergenceKind::never_left_plateau, 0};
  EXPECT_EQ(verdict_on(descent(500, 6.05, 5.55, 0.1)), expected) << "predicting uniformly is not learning";
  DivergenceOptions forgiving = defaults;
  forgiving.plateau_drop = 0;
  EXPECT_EQ(verdict_on(descent(500, 6.05, 5.55, 0.1), forgiving), std::nullopt);
}

TEST(Divergence, JudgesThePlateauAtItsStepOrAtTheEnd) {
  const std::vector<double> flat(300, 6.0);
  DivergenceOptions options = defaults;
  options.plateau_steps = 150;
  DivergenceMonitor early(options);
  observe(early, flat, 0, 150);
  EXPECT_FALSE(early.verdict());
  observe(early, flat, 150, 151);
  EXPECT_TRUE(early.verdict());

  DivergenceMonitor late(defaults);
  observe(late, flat, 0, flat.size());
  EXPECT_FALSE(late.verdict());
  EXPECT_TRUE(late.finish());
}

TEST(Divergence, KeepsItsFirstVerdict) {
  std::vector<double> losses = descent(600, 6, 1.5);
  raise(losses, 300, 150, 10);
  losses[550] = nan;
  const Divergence expected{DivergenceKind::loss_rose, 300 + defaults.smoothing / 2};
  EXPECT_EQ(verdict_on(losses), expected);
}

TEST(Divergence, GivesNoVerdictOnARunWithoutSteps) {
  DivergenceMonitor monitor(defaults);
  EXPECT_FALSE(monitor.finish());
  EXPECT_FALSE(monitor.verdict());
}

// Random curves with rises, spikes and NaNs, and options so small that every verdict occurs.
struct RandomRun {
  std::vector<double> losses;
  DivergenceOptions options;
};

RandomRun random_run(unsigned seed) {
  std::mt19937 generator(seed);
  const auto below = [&generator](std::size_t end) {
    return std::uniform_int_distribution<std::size_t>(0, end - 1)(generator);
  };
  RandomRun run{descent(50 + below(300), 6, 3.0 + 0.5 * static_cast<double>(below(6)), 0.1, seed), {}};
  for (std::size_t rises = below(4); rises > 0; --rises) {
    const std::size_t from = below(run.losses.size());
    raise(run.losses, from, below(run.losses.size() - from) / 2, 0.25 * static_cast<double>(1 + below(8)));
  }
  if (below(6) == 0) {
    run.losses[below(run.losses.size())] = nan;
  }
  run.options.patience = static_cast<int64_t>(1 + below(40));
  run.options.smoothing = static_cast<int64_t>(1 + 2 * below(8));
  run.options.plateau_steps = static_cast<int64_t>(below(2) * below(100));
  return run;
}

TEST(Divergence, FollowsItsDefinitionOnRandomCurves) {
  std::vector<int> seen(4, 0);
  for (unsigned seed = 0; seed < 2000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomRun run = random_run(seed);
    const auto expected = verdict_by_definition(run.losses, run.options);
    if (!std::isnan(run.losses.front())) {
      ASSERT_EQ(verdict_on(run.losses, run.options), expected);
    }
    ++seen[expected ? static_cast<std::size_t>(expected->kind) : 3];
  }
  EXPECT_GT(*std::min_element(seen.begin(), seen.end()), 50) << "the random curves hardly reach one kind of verdict";
}

TEST(Divergence, GivesTheSameVerdictAfterReplayingAPrefix) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const RandomRun run = random_run(seed);
    DivergenceMonitor unbroken(run.options);
    observe(unbroken, run.losses, 0, run.losses.size());
    const std::size_t stop = (seed * 37) % run.losses.size();
    DivergenceMonitor before(run.options);
    observe(before, run.losses, 0, stop);
    DivergenceMonitor resumed(run.options);
    observe(resumed, run.losses, 0, stop);
    EXPECT_EQ(resumed.verdict(), before.verdict());
    observe(resumed, run.losses, stop, run.losses.size());
    EXPECT_EQ(resumed.verdict(), unbroken.verdict());
    EXPECT_EQ(resumed.finish(), unbroken.finish());
    EXPECT_EQ(unbroken.finish(), verdict_on(run.losses, run.options));
  }
}

std::string refusal(DivergenceOptions options) {
  return support::refusal_of<std::invalid_argument>([&] { const DivergenceMonitor monitor(options); });
}

TEST(Divergence, RefusesOptionsByTheirKeys) {
  EXPECT_EQ(refusal({.margin = -1}), "divergence.margin is -1, expected a positive number of nats");
  EXPECT_EQ(refusal({.margin = nan}), "divergence.margin is nan, expected a positive number of nats");
  EXPECT_EQ(refusal({.patience = 0}), "divergence.patience is 0, expected a positive number of steps");
  EXPECT_EQ(refusal({.smoothing = 4}), "divergence.smoothing is 4, expected an odd positive number of steps");
  EXPECT_EQ(refusal({.plateau_drop = infinity}),
            "divergence.plateau_drop is inf, expected a positive number of nats, or 0 for no plateau");
  EXPECT_EQ(refusal({.plateau_steps = -5}),
            "divergence.plateau_steps is -5, expected a positive number of steps, or 0 for the end of the run");
}

TEST(Divergence, RefusesStepsThatDoNotIncrease) {
  DivergenceMonitor monitor(defaults);
  monitor.observe(1, 6.0, 1.0);
  EXPECT_THROW(monitor.observe(1, 5.0, 1.0), std::invalid_argument);
  EXPECT_THROW(monitor.observe(0, 5.0, 1.0), std::invalid_argument);
}

TEST(Divergence, IsDescribedInOneClause) {
  EXPECT_EQ(describe({DivergenceKind::non_finite, 12}), "loss or gradient norm became non-finite at step 12");
  EXPECT_EQ(describe({DivergenceKind::loss_rose, 120}), "loss rose from step 120 on and stayed up");
  EXPECT_EQ(describe({DivergenceKind::never_left_plateau, 0}), "loss never left its initial plateau, from step 0 on");
  EXPECT_EQ(to_string(DivergenceKind::loss_rose), "loss_rose");
}

}  // namespace
}  // namespace hessian::tests
