#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "claims.h"
#include "reproduction/sections.h"
#include "reproduction/stability.h"

// Tests each rule about sweeps with numbers that were worked out by hand, for seeds that disagree.

namespace hessian::tests {
namespace {

using analysis::Claim;
using analysis::Rates;
using analysis::StabilityResults;
using analysis::Summary;
using analysis::SweepRuns;
using analysis::Verdict;

constexpr double diverged = std::numeric_limits<double>::quiet_NaN();
constexpr double failed = -1;
constexpr double pending = -2;

/// Final losses of the seeds 0, 1, 2, ... at a rate, or why there is none.
struct Row {
  std::string placement;
  double lr;
  std::vector<double> losses;
};

std::string status_of(double loss) {
  return std::isnan(loss) ? "diverged" : loss == failed ? "failed" : loss == pending ? "pending" : "stable";
}

SweepRuns sweep_of(std::vector<Row> rows, bool reversed = false) {
  if (reversed) {
    std::reverse(rows.begin(), rows.end());
  }
  SweepRuns runs;
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.losses.size(); ++i) {
      const std::size_t seed = reversed ? row.losses.size() - 1 - i : i;
      const double loss = row.losses[seed];
      runs.model.push_back("x-1M-" + row.placement);
      runs.lr.push_back(row.lr);
      runs.seed.push_back(static_cast<int64_t>(seed));
      runs.status.push_back(status_of(loss));
      runs.final_loss.push_back(loss > 0 ? loss : std::nan(""));
      runs.initial_loss.push_back(6);
      runs.diverged_at.push_back(std::isnan(loss) ? 5 : -1);
      runs.run_file.emplace_back("absent.h5");
    }
  }
  return runs;
}

/// A sweep in which every seed diverges at some rate, each at another.
const std::vector<Row> disagreeing = {
    {"prenorm", 1, {3.0, 3.2, 3.1}},
    {"prenorm", 2, {2.9, 3.35, 2.8}},
    {"prenorm", 4, {2.7, diverged, 2.6}},
    {"prenorm", 8, {diverged, diverged, diverged}},
    {"prenorm", 16, {diverged, diverged, diverged}},
    {"preqknorm", 1, {2.9, 2.65, 3.0}},
    {"preqknorm", 2, {2.5, 2.65, 2.7}},
    {"preqknorm", 4, {2.45, diverged, 2.5}},
    {"simplegpt", 1, {2.9, 3.0, 2.95}},
    {"simplegpt", 2, {2.6, 2.7, 2.5}},
    {"simplegpt", 4, {2.45, diverged, 2.3}},
    {"simplegpt", 8, {2.3, diverged, 2.55}},
    {"simplegpt", 16, {diverged, diverged, 2.6}},
};

StabilityResults results_of(const std::vector<std::pair<std::string, SweepRuns>>& by_family) {
  StabilityResults results;
  int64_t parameters = 0;
  for (const auto& [family, runs] : by_family) {
    parameters += 1000;
    analysis::RunContent content;
    content.sweep = runs;
    results.sweeps.push_back({{family, "small", parameters, "absent/sweep.h5"}, content});
  }
  return results;
}

void expect_rates(const Rates& rates, double stable, double useful, double best_loss) {
  EXPECT_EQ(rates.stable, stable);
  EXPECT_EQ(rates.useful, useful);
  EXPECT_EQ(rates.best_loss, best_loss);
}

TEST(RatesOfAllSeeds, AreThoseAtWhichNoSeedDivergedByTheMedianLoss) {
  for (const bool reversed : {false, true}) {
    SCOPED_TRACE(reversed);
    const SweepRuns runs = sweep_of(disagreeing, reversed);
    // Medians of PreNorm: 3.1 and 2.9; at 4 one seed diverged.
    expect_rates(rates_of(runs, "prenorm", {}), 2, 2, 2.9);
    // Medians of SimpleNorm: 2.95 and 2.6.
    expect_rates(rates_of(runs, "simplegpt", {}), 2, 2, 2.6);
  }
}

TEST(RatesOfOneSeed, AreThoseOfItsOwnRuns) {
  for (const bool reversed : {false, true}) {
    SCOPED_TRACE(reversed);
    const SweepRuns runs = sweep_of(disagreeing, reversed);
    expect_rates(rates_of(runs, "prenorm", 0), 4, 4, 2.7);
    expect_rates(rates_of(runs, "prenorm", 1), 2, 1, 3.2);  // 3.35 at 2 is more than 0.1 above 3.2
    expect_rates(rates_of(runs, "prenorm", 2), 4, 4, 2.6);
    expect_rates(rates_of(runs, "simplegpt", 0), 8, 8, 2.3);
    expect_rates(rates_of(runs, "simplegpt", 1), 2, 2, 2.7);
    expect_rates(rates_of(runs, "simplegpt", 2), 16, 4, 2.3);  // 2.55 at 8 and 2.6 at 16 are too high
  }
}

TEST(RatesOfAllSeeds, AreNotStableIfOneSeedDivergedFailedOrIsNotFinished) {
  for (const double other : {diverged, failed, pending}) {
    for (const bool first : {false, true}) {
      const std::vector<double> losses = first ? std::vector{other, 2.0} : std::vector{2.0, other};
      const SweepRuns runs = sweep_of({{"prenorm", 1, {3, 3}}, {"prenorm", 2, losses}});
      SCOPED_TRACE(status_of(other));
      expect_rates(rates_of(runs, "prenorm", {}), 1, 1, 3);
      expect_rates(rates_of(runs, "prenorm", first ? 1 : 0), 2, 2, 2);
    }
  }
}

TEST(RatesOfAllSeeds, AreNotStableIfASeedHasNoRunThere) {
  // Seed 1 of PreNorm has no run at 4.
  const SweepRuns runs = sweep_of({{"prenorm", 1, {3, 3}}, {"prenorm", 4, {2}}, {"simplegpt", 4, {2, 2}}});
  expect_rates(rates_of(runs, "prenorm", {}), 1, 1, 3);
  expect_rates(rates_of(runs, "prenorm", 0), 4, 4, 2);
  expect_rates(rates_of(runs, "prenorm", 1), 1, 1, 3);
  expect_rates(rates_of(runs, "simplegpt", {}), 4, 4, 2);
}

TEST(RatesOfAllSeeds, AreUsefulByTheMedianLossAndNotByThatOfTheBestOrWorstSeed) {
  EXPECT_EQ(rates_of(sweep_of({{"prenorm", 1, {2, 2, 2}}, {"prenorm", 2, {2.05, 2.5, 2.6}}}), "prenorm", {}).useful, 1);
  EXPECT_EQ(rates_of(sweep_of({{"prenorm", 1, {2, 2, 2}}, {"prenorm", 2, {2.05, 2.05, 9}}}), "prenorm", {}).useful, 2);
}

TEST(RatesOfAllSeeds, AreUnknownIfNoRateIsStable) {
  const Rates rates = rates_of(sweep_of({{"prenorm", 1, {diverged, 3}}}), "prenorm", {});
  EXPECT_TRUE(std::isnan(rates.stable) && std::isnan(rates.useful) && std::isnan(rates.best_loss));
}

TEST(RatesOfAllSeeds, CountAStableRateAboveAnUnstableOne) {
  EXPECT_EQ(
      rates_of(sweep_of({{"prenorm", 1, {3}}, {"prenorm", 2, {diverged}}, {"prenorm", 4, {2}}}), "prenorm", {}).stable,
      4);
}

void expect_summary(const Summary& found, double median, double low, double high) {
  EXPECT_NEAR(found.median, median, 1e-12);
  EXPECT_NEAR(found.low, low, 1e-12);
  EXPECT_NEAR(found.high, high, 1e-12);
}

TEST(RatioOfRates, IsThatOfAllSeedsWithTheRangeOfSingleSeeds) {
  for (const bool reversed : {false, true}) {
    const SweepRuns runs = sweep_of(disagreeing, reversed);
    // Seeds: 8 / 4, 2 / 2, 16 / 4. Together: 2 / 2.
    expect_summary(ratio_of(runs, &Rates::stable, "simplegpt", "prenorm"), 1, 1, 4);
    // Seeds: 8 / 4, 2 / 1, 4 / 4. Together: 2 / 2.
    expect_summary(ratio_of(runs, &Rates::useful, "simplegpt", "prenorm"), 1, 1, 2);
    expect_summary(ratio_of(runs, &Rates::stable, "prenorm", "simplegpt"), 1, 0.25, 1);
  }
}

TEST(RatioOfRates, IncludesTheRatioOfAllSeedsInItsRange) {
  const SweepRuns runs = sweep_of({{"prenorm", 1, {3, 3}},
                                   {"prenorm", 2, {3, 3}},
                                   {"prenorm", 4, {3, 3}},
                                   {"simplegpt", 1, {3.0, 2.0}},
                                   {"simplegpt", 2, {2.0, 3.0}},
                                   {"simplegpt", 4, {2.15, 2.15}}});
  // SimpleNorm is useful up to 2 and 1 for the seeds, and up to 4 by the medians 2.5, 2.5 and 2.15.
  expect_summary(ratio_of(runs, &Rates::useful, "simplegpt", "prenorm"), 1, 0.25, 1);
}

TEST(RatioOfRates, IsUnknownIfARunOfEitherPlacementFailedOrIsNotFinished) {
  for (const double missing : {failed, pending}) {
    for (const std::string placement : {"simplegpt", "prenorm"}) {
      std::vector<Row> rows = disagreeing;
      rows.push_back({placement, 32, {diverged, missing, diverged}});
      // Seed 1, whose ratio is 2 / 2, is out of the range, too: of the others it is 8 / 4 and 16 / 4.
      const Summary ratio = ratio_of(sweep_of(rows), &Rates::stable, "simplegpt", "prenorm");
      EXPECT_TRUE(std::isnan(ratio.median)) << placement;
      EXPECT_NEAR(ratio.low, 2, 1e-12) << placement;
      EXPECT_NEAR(ratio.high, 4, 1e-12) << placement;
    }
    std::vector<Row> rows = disagreeing;
    rows.push_back({"preqknorm", 32, {diverged, missing, diverged}});
    expect_summary(ratio_of(sweep_of(rows), &Rates::stable, "simplegpt", "prenorm"), 1, 1, 4);
  }
}

TEST(GainInLoss, IsTheMedianOfTheSeedsOwnGains) {
  for (const bool reversed : {false, true}) {
    const SweepRuns runs = sweep_of(disagreeing, reversed);
    expect_summary(gain_of(runs, "simplegpt", "prenorm"), 0.4, 0.3, 0.5);
    expect_summary(gain_of(runs, "simplegpt", "preqknorm"), 0.15, -0.05, 0.2);
  }
}

TEST(RatesSection, ComparesRatesAtWhichNoSeedDiverged) {
  const auto claims = rates_section(results_of({{"llama2", sweep_of(disagreeing)}})).claims;
  const Claim& stable = claim_with(claims, "largest stable learning rate");
  EXPECT_EQ(stable.ours, "llama2: 1");
  EXPECT_EQ(stable.verdict, Verdict::does_not_hold);
  EXPECT_EQ(claim_with(claims, "largest useful rate").ours, "llama2: 1");
  EXPECT_EQ(claim_with(claims, "ratio of stable rates grows").verdict, Verdict::undecided) << "it has one size";
}

TEST(RatesSection, SeparatesStableFromUsefulRates) {
  const auto claims = rates_section(results_of({{"llama2", sweep_of({{"prenorm", 1, {3, 3}},
                                                                     {"simplegpt", 1, {2, 2}},
                                                                     {"simplegpt", 2, {2, 2.1}},
                                                                     {"simplegpt", 8, {2.5, 2.5}}})}}))
                          .claims;
  EXPECT_EQ(claim_with(claims, "largest stable learning rate").ours, "llama2: 8");
  EXPECT_EQ(claim_with(claims, "largest stable learning rate").verdict, Verdict::holds);
  EXPECT_EQ(claim_with(claims, "largest useful rate").ours, "llama2: 2");
  EXPECT_EQ(claim_with(claims, "largest useful rate").verdict, Verdict::does_not_hold);
}

/// Returns a sweep of two seeds in which the largest stable rate of SimpleNorm is `ratio` times that of PreNorm. One of
/// the seeds alone would be stable at ten times these rates. NaN: no rate of SimpleNorm is stable.
SweepRuns sweep_of_ratio(double ratio) {
  if (std::isnan(ratio)) {
    return sweep_of({{"prenorm", 1, {3, 3}}, {"simplegpt", 1, {diverged, 2}}});
  }
  return sweep_of({{"prenorm", 1, {3, 3}},
                   {"prenorm", 10, {3, diverged}},
                   {"simplegpt", 1, {2, 2}},
                   {"simplegpt", ratio, {2, 2}},
                   {"simplegpt", 10 * ratio, {diverged, 2}}});
}

Verdict verdict_on(const std::string& words, const std::vector<std::pair<std::string, double>>& ratios) {
  std::vector<std::pair<std::string, SweepRuns>> sweeps;
  for (const auto& [family, ratio] : ratios) {
    sweeps.emplace_back(family, sweep_of_ratio(ratio));
  }
  return claim_with(rates_section(results_of(sweeps)).claims, words).verdict;
}

TEST(RatesSection, RequiresThreefoldRatesOfEveryModel) {
  const std::string words = "largest stable learning rate";
  EXPECT_EQ(verdict_on(words, {{"llama2", 3}, {"llama3", 5}}), Verdict::holds);
  EXPECT_EQ(verdict_on(words, {{"llama2", 2.9}, {"llama3", 50}}), Verdict::does_not_hold);
  EXPECT_EQ(verdict_on(words, {{"llama2", 50}, {"llama3", 2.9}}), Verdict::does_not_hold);
  EXPECT_EQ(verdict_on(words, {}), Verdict::undecided);
  EXPECT_EQ(verdict_on(words, {{"llama2", NAN}, {"llama3", 3}}), Verdict::holds) << "one is unknown";
  EXPECT_EQ(verdict_on(words, {{"llama2", NAN}}), Verdict::undecided);
}

TEST(RatesSection, RequiresRatiosThatAscendInEveryFamily) {
  const std::string words = "ratio of stable rates grows";
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama2", 3}, {"llama3", 1}, {"llama3", 4}}), Verdict::holds);
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama2", 3}, {"llama3", 4}, {"llama3", 1}}), Verdict::does_not_hold);
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama2", 2}}), Verdict::does_not_hold) << "constant";
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama2", 5}, {"llama2", 4}}), Verdict::does_not_hold)
      << "falls at last";
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama2", 2}, {"llama2", 4}}), Verdict::holds);
  EXPECT_EQ(verdict_on(words, {{"llama2", 2}, {"llama3", 3}}), Verdict::undecided) << "one size per family";
  EXPECT_EQ(verdict_on(words, {{"llama2", NAN}, {"llama2", 3}, {"llama2", 4}}), Verdict::holds) << "one is unknown";
  EXPECT_EQ(verdict_on(words, {{"llama2", NAN}, {"llama2", 3}}), Verdict::undecided) << "only one is known";
}

std::vector<Claim> losses_of(const std::vector<Row>& rows) {
  return losses_section(results_of({{"llama2", sweep_of(rows)}})).claims;
}

TEST(LossesSection, ComparesTheBestMedianLosses) {
  const Claim claim = claim_with(losses_of(disagreeing), "loss of SimpleNorm vs");
  // PreNorm + QKNorm: medians 2.9 and 2.65. SimpleNorm's is 2.6; of the seeds' own gains one is negative.
  EXPECT_EQ(claim.ours, "llama2-small: 2.600 vs 2.650, gain 0.15 (-0.05 … 0.2)");
  EXPECT_EQ(claim.verdict, Verdict::holds);
  EXPECT_EQ(
      claim_with(losses_of({{"preqknorm", 1, {2, 3}}, {"simplegpt", 1, {2.5, 2.5}}}), "loss of SimpleNorm").verdict,
      Verdict::does_not_hold)
      << "equal losses are no gain";
}

TEST(LossesSection, RequiresEverySeedToSurviveWhereOneOfPreNormDiverged) {
  const auto survival = [](const std::vector<Row>& rows) {
    return claim_with(losses_of(rows), "where PreNorm diverges");
  };
  // The smallest rate at which a seed of PreNorm diverged is 4.
  const Claim claim = survival(disagreeing);
  EXPECT_EQ(claim.ours, "stable: llama2-small at lr 4: 2 of 3 seeds");
  EXPECT_EQ(claim.verdict, Verdict::does_not_hold);
  // PreNorm + QKNorm has no run at 4, as after bisection.
  std::vector<Row> rows = disagreeing;
  std::erase_if(rows, [](const Row& row) { return row.placement == "preqknorm" && row.lr == 4; });
  EXPECT_EQ(survival(rows).ours, "–");
  rows.push_back({"preqknorm", 8, {pending, pending, diverged}});
  EXPECT_EQ(survival(rows).ours, "stable: llama2-small at lr 8: 2 of 3 seeds");
  for (Row& row : rows) {
    if (row.placement == "simplegpt" && row.lr == 8) {
      row.losses[1] = 2.6;
    }
  }
  EXPECT_EQ(survival(rows).verdict, Verdict::holds);
  EXPECT_EQ(survival({{"prenorm", 1, {3}}, {"preqknorm", 1, {3}}, {"simplegpt", 1, {3}}}).verdict, Verdict::undecided)
      << "PreNorm diverges nowhere";
}

TEST(LossesSection, RequiresAGainThatAscendsWithTheModel) {
  const auto gain = [](double loss) {
    return sweep_of({{"prenorm", 1, {3, 4, 3}}, {"simplegpt", 1, {loss, loss, loss}}});
  };
  const auto verdict = [](const std::vector<std::pair<std::string, SweepRuns>>& sweeps) {
    return claim_with(losses_section(results_of(sweeps)).claims, "gain in loss").verdict;
  };
  EXPECT_EQ(verdict({{"llama2", gain(2.9)}, {"llama2", gain(2.8)}}), Verdict::holds);
  EXPECT_EQ(verdict({{"llama2", gain(2.8)}, {"llama2", gain(2.9)}}), Verdict::does_not_hold);
}

/// Rates that a curvature allows and largest stable rates of models, three per sweep, in either order of the sweeps.
std::vector<Claim> thresholds_of(const std::vector<std::pair<double, double>>& points, bool reversed = false) {
  std::vector<std::pair<std::string, SweepRuns>> sweeps;
  for (std::size_t first = 0; first < points.size(); first += 3) {
    SweepRuns runs;
    for (std::size_t i = first; i < std::min(first + 3, points.size()); ++i) {
      runs.models.push_back("x-" + analysis::compared_placements[i - first]);
      runs.summary["activation_rate"].push_back(points[i].first);
      runs.summary["sharpness_rate"].push_back(-points[i].first);
      runs.summary["preconditioned_rate"].push_back(std::nan(""));
      runs.summary["largest_stable_lr"].push_back(points[i].second);
    }
    sweeps.emplace_back("llama2", runs);
  }
  if (reversed) {
    std::reverse(sweeps.begin(), sweeps.end());
  }
  return thresholds_section(results_of(sweeps)).claims;
}

/// Returns the claim on the activation's curvature for allowed rates 1, 2, 3, ... and these stable rates.
Claim claim_on(const std::vector<double>& stable) {
  std::vector<std::pair<double, double>> points;
  for (const double rate : stable) {
    points.emplace_back(static_cast<double>(points.size() + 1), rate);
  }
  return claim_with(thresholds_of(points), "2 / λmax");
}

TEST(ThresholdsSection, GivesTiesTheMeanOfTheirRanks) {
  for (const bool reversed : {false, true}) {
    // Ranks 1 2 3 4 and 3 1 3 3: correlation 1 / sqrt(15). With ranks 2 1 3 4 it would be 0.8.
    // Its error is (1 - 1/15) sqrt((1 + 1/30) / (4 - 3)) = 0.949.
    Claim claim = claim_with(thresholds_of({{1, 2}, {2, 1}, {3, 2}, {4, 2}}, reversed), "2 / λmax");
    EXPECT_EQ(claim.ours, "rank correlation 0.26 ± 0.95 over 4 models");
    // Ranks 1 2 3 4 and 1.5 1.5 3 4: 4.5 / sqrt(5 4.5), whichever side has the tie. The error is that of 1 - 6/60 = 0.9:
    // (1 - 0.81) sqrt((1 + 0.9 / 2) / (4 - 3)) = 0.229.
    claim = claim_with(thresholds_of({{1, 1}, {2, 1}, {8, 3}, {9, 4}}, reversed), "2 / λmax");
    EXPECT_EQ(claim.ours, "rank correlation 0.95 ± 0.23 over 4 models");
    EXPECT_EQ(claim_with(thresholds_of({{1, 1}, {1, 2}, {3, 8}, {4, 9}}, reversed), "2 / λmax").ours, claim.ours);
  }
}

// With n = 9, rho = 1 - (sum of squared differences of ranks) / 120 and s = sqrt((1 + rho^2 / 2) / 6); atanh(0.5) = 0.549.
TEST(ThresholdsSection, RequiresACorrelationTwoStandardErrorsAboveOrBelowOneHalf) {
  const auto expect = [](const std::vector<double>& stable, const std::string& text, Verdict verdict) {
    EXPECT_EQ(claim_on(stable).ours, "rank correlation " + text + " over 9 models");
    EXPECT_EQ(claim_on(stable).verdict, verdict) << text;
  };
  // 2: z = 2.390, s = 0.497; 2.390 - 0.994 = 1.395.
  expect({1, 2, 3, 4, 5, 6, 8, 7, 9}, "0.98 ± 0.02", Verdict::holds);
  // 24: z = 1.099, s = 0.469; 1.099 - 0.938 = 0.161, although 0.8 is above 0.5.
  expect({1, 2, 4, 3, 7, 8, 5, 9, 6}, "0.80 ± 0.17", Verdict::undecided);
  // 120: z = 0, s = 0.408; 0.816, although 0 is below 0.5.
  expect({4, 5, 7, 8, 2, 6, 1, 3, 9}, "0.00 ± 0.41", Verdict::undecided);
  // 144: z = -0.203, s = 0.412; -0.203 + 0.825 = 0.622.
  expect({7, 5, 9, 2, 6, 1, 3, 4, 8}, "-0.20 ± 0.40", Verdict::undecided);
  // 156: z = -0.310, s = 0.417; -0.310 + 0.835 = 0.525.
  expect({9, 6, 3, 2, 8, 5, 4, 1, 7}, "-0.30 ± 0.38", Verdict::does_not_hold);
}

// A correlation of +-1 is taken as +-(1 - 6 / (n^3 - n)), and s = sqrt(1.5 / (n - 3)).
TEST(ThresholdsSection, IsNotCertainOfFewModelsInPerfectOrder) {
  // n = 5: atanh(0.95) = 1.832, s = 0.866; 1.832 - 1.732 = 0.100. n = 6: atanh(0.9714) = 2.117, s = 0.707; 0.703.
  EXPECT_EQ(claim_on({1, 2, 3, 4, 5}).verdict, Verdict::undecided);
  EXPECT_EQ(claim_on({1, 2, 3, 4, 5, 6}).verdict, Verdict::holds);
  EXPECT_EQ(claim_on({1, 2, 3, 4, 5, 6}).ours, "rank correlation 1.00 ± 0.04 over 6 models");
  // n = 4: -atanh(0.9) = -1.472, s = 1.225; -1.472 + 2.449 = 0.977. n = 5: -1.832 + 1.732 = -0.100.
  EXPECT_EQ(claim_on({4, 3, 2, 1}).verdict, Verdict::undecided);
  EXPECT_EQ(claim_on({5, 4, 3, 2, 1}).verdict, Verdict::does_not_hold);
}

TEST(ThresholdsSection, IsUndecidedOfFewerThanFourModelsOrEqualRates) {
  for (const std::vector<double>& stable :
       {std::vector<double>{1, 2, 3}, {1, 2, 3, NAN}, {2, 2, 2, 2, 2, 2, 2, 2}, {}}) {
    EXPECT_EQ(claim_on(stable).ours, "–");
    EXPECT_EQ(claim_on(stable).verdict, Verdict::undecided);
  }
}

TEST(ThresholdsSection, ComparesEachCurvatureByItsOwnRates) {
  const auto claims = thresholds_of({{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}});
  EXPECT_EQ(claim_with(claims, "2 / λmax").ours, "rank correlation 1.00 ± 0.04 over 6 models");
  EXPECT_EQ(claim_with(claims, "2 / sharpness").ours, "rank correlation -1.00 ± 0.04 over 6 models");
  EXPECT_EQ(claim_with(claims, "2 / sharpness").verdict, Verdict::does_not_hold);
  EXPECT_EQ(claim_with(claims, "Adam's limit").ours, "–");
  EXPECT_EQ(claim_with(claims, "Adam's limit").verdict, Verdict::undecided);
}

TEST(ThresholdsSection, SaysOfHowManySequencesTheSharpnessIs) {
  SweepRuns runs;
  runs.models = {"x-prenorm"};
  for (const char* name : {"activation_rate", "sharpness_rate", "preconditioned_rate", "largest_stable_lr"}) {
    runs.summary[name] = {1};
  }
  StabilityResults results = results_of({{"llama2", runs}});
  results.sweeps[0].content.info.config =
      "[data]\nbatch_size = 8\naccumulation = 1\n[probe]\nsharpness = true\nsharpness_sequences = 4\n";
  const auto figures = thresholds_section(results).section.figures;
  ASSERT_EQ(figures.size(), 3U);
  for (const analysis::Figure& figure : figures) {
    const bool of_sharpness = figure.id != "g-activation";
    EXPECT_EQ(figure.caption.find("mean loss of 4 held-out sequences") != std::string::npos, of_sharpness) << figure.id;
    EXPECT_EQ(figure.warnings.size(), of_sharpness ? 1U : 0U) << figure.id;
  }
}

}  // namespace
}  // namespace hessian::tests
