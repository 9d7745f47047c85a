#include "sweep/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

namespace hessian::tests {
namespace {

using experiments::CellResult;
using experiments::CellStatus;
using experiments::make_table;
using experiments::ModelSummary;
using experiments::SweepConfig;
using experiments::SweepTable;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::string prenorm = "new:llama2-20M-prenorm";
const std::string simplegpt = "new:llama2-20M-simplegpt";

/// Rates 1, 2, 4 and 8.
SweepConfig configured(std::vector<std::string> models, std::vector<int64_t> seeds = {0}) {
  SweepConfig config;
  config.train.out = "sweep";
  config.models = std::move(models);
  config.seeds = std::move(seeds);
  config.lr = {1, 8, 1};
  return config;
}

CellResult run(const std::string& model, double lr, int64_t seed, CellStatus status, double loss = 2) {
  CellResult result{{model, lr, seed, model_label(SweepConfig(), model)}, status, {}};
  result.summary.step = 10;
  result.summary.final_loss = loss;
  result.summary.initial_loss = 6;
  if (status == CellStatus::diverged) {
    result.summary.divergence = {experiments::DivergenceKind::loss_rose, 5};
  }
  return result;
}

/// Returns the runs of a model over the grid, stable up to a rate.
std::vector<CellResult> grid_of(const SweepConfig& config, const std::string& model, double threshold) {
  std::vector<CellResult> results;
  for (const double lr : experiments::grid_rates(config.lr)) {
    for (const int64_t seed : config.seeds) {
      results.push_back(run(model, lr, seed, lr <= threshold ? CellStatus::stable : CellStatus::diverged));
    }
  }
  return results;
}

std::vector<CellResult> joined(std::vector<CellResult> a, const std::vector<CellResult>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(SweepTable, OrdersRunsByConfiguredModelThenRateThenSeed) {
  const SweepConfig config = configured({simplegpt, prenorm}, {1, 0});
  std::vector<CellResult> results = joined(grid_of(config, prenorm, 2), grid_of(config, simplegpt, 4));
  std::mt19937 generator(3);
  std::shuffle(results.begin(), results.end(), generator);
  const SweepTable table = make_table(config, results);
  std::vector<experiments::Cell> expected;
  for (const std::string& model : {simplegpt, prenorm}) {
    for (const double lr : {1, 2, 4, 8}) {
      for (const int64_t seed : {0, 1}) {
        expected.push_back({model, lr, seed});
      }
    }
  }
  std::vector<experiments::Cell> found;
  std::ranges::transform(table.results, std::back_inserter(found), &CellResult::cell);
  EXPECT_EQ(found, expected);
  ASSERT_EQ(table.models.size(), 2U);
  EXPECT_EQ(table.models[0].label, "llama2-20M-simplegpt");
  EXPECT_EQ(table.models[0].lr.bracket.largest_stable, 4);
  EXPECT_EQ(table.models[1].label, "llama2-20M-prenorm");
  EXPECT_EQ(table.models[1].lr.bracket.largest_stable, 2);
}

TEST(SweepTable, DoesNotDependOnTheOrderInWhichRunsEnd) {
  const SweepConfig config = configured({prenorm, simplegpt}, {0, 1, 2});
  std::vector<CellResult> results = joined(grid_of(config, prenorm, 2), grid_of(config, simplegpt, 4));
  std::mt19937 generator(5);
  for (CellResult& result : results) {
    result.summary.final_loss = std::uniform_real_distribution(1.0, 5.0)(generator);
    result.summary.activation_rate = std::uniform_real_distribution(1.0, 5.0)(generator);
  }
  const std::string json = format_json(make_table(config, results));
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::shuffle(results.begin(), results.end(), generator);
    EXPECT_EQ(format_json(make_table(config, results)), json);
  }
}

TEST(SweepTable, ComparesTheLargestStableRateWithThatOfPreNormAndGivesTheRangeThatTheBracketsAllow) {
  const SweepConfig config = configured({prenorm, simplegpt});
  const SweepTable table = make_table(config, joined(grid_of(config, prenorm, 1), grid_of(config, simplegpt, 4)));
  ASSERT_EQ(table.ratios.size(), 1U);
  EXPECT_EQ(table.ratios[0].label, "llama2-20M-simplegpt");
  EXPECT_EQ(table.ratios[0].baseline, "llama2-20M-prenorm");
  EXPECT_EQ(table.ratios[0].ratio, 4);  // 4 / 1
  EXPECT_EQ(table.ratios[0].low, 2);    // 4 / 2
  EXPECT_EQ(table.ratios[0].high, 8);   // 8 / 1
  EXPECT_THAT(format_text(table, false),
              HasSubstr("largest stable lr of llama2-20M-simplegpt / llama2-20M-prenorm: 4.00 (the brackets allow 2.00 "
                        "to 8.00)"));
}

TEST(SweepTable, LeavesTheRangeOfARatioOpenIfABracketIsOpen) {
  const SweepConfig config = configured({simplegpt, prenorm});
  SweepTable table = make_table(config, joined(grid_of(config, prenorm, 2), grid_of(config, simplegpt, 100)));
  ASSERT_EQ(table.ratios.size(), 1U);
  EXPECT_EQ(table.ratios[0].ratio, 4);
  EXPECT_EQ(table.ratios[0].low, 2);
  EXPECT_EQ(table.ratios[0].high, std::nullopt);
  EXPECT_THAT(format_text(table, false), Not(HasSubstr("the brackets allow")));
  // Without a stable rate there is no ratio.
  table = make_table(config, joined(grid_of(config, prenorm, 0.5), grid_of(config, simplegpt, 4)));
  EXPECT_THAT(table.ratios, IsEmpty());
}

TEST(SweepTable, HasNoRatioOfAModelWithARunThatFailedOrIsNotFinished) {
  const SweepConfig config = configured({prenorm, simplegpt});
  const std::vector<CellResult> results = joined(grid_of(config, prenorm, 2), grid_of(config, simplegpt, 4));
  for (const CellStatus status : {CellStatus::failed, CellStatus::pending}) {
    for (std::size_t i = 0; i < results.size(); ++i) {
      std::vector<CellResult> incomplete = results;
      incomplete[i].status = status;
      EXPECT_THAT(make_table(config, incomplete).ratios, IsEmpty()) << cell_name(results[i].cell);
    }
  }
  EXPECT_EQ(make_table(config, results).ratios.size(), 1U);
}

TEST(SweepTable, ComparesAModelOnlyWithThePreNormModelOfItsSize) {
  const SweepConfig config =
      configured({"new:gpt2-124M-simplegpt", simplegpt, "new:llama2-20M-preqknorm", prenorm, "runs/ckpt.pt"});
  std::vector<CellResult> results;
  for (const std::string& model : config.models) {
    results = joined(std::move(results), grid_of(config, model, 2));
  }
  std::vector<std::string> labels;
  for (const auto& ratio : make_table(config, results).ratios) {
    EXPECT_EQ(ratio.baseline, "llama2-20M-prenorm");
    labels.push_back(ratio.label);
  }
  EXPECT_THAT(labels, ElementsAre("llama2-20M-simplegpt", "llama2-20M-preqknorm"));
}

TEST(SweepTable, TakesTheMedianOfTheAllowedRatesOverTheSeedsAtTheLargestStableRate) {
  const SweepConfig config = configured({simplegpt}, {0, 1, 2});
  std::vector<CellResult> results = grid_of(config, simplegpt, 4);
  for (CellResult& result : results) {
    const bool at_edge = result.cell.lr == 4;
    const auto seed = static_cast<double>(result.cell.seed);
    result.summary.activation_rate = at_edge ? std::exp(seed) : 1000 + seed;
    if (result.cell.seed != 1) {  // one run has no such probe
      result.summary.sharpness_rate = at_edge ? 3 + seed : 2000;
    }
  }
  const SweepTable table = make_table(config, results);
  EXPECT_EQ(table.models[0].activation_rate, std::exp(1.0));
  EXPECT_EQ(table.models[0].sharpness_rate, 4);  // the median of 3 and 5
  EXPECT_EQ(table.models[0].preconditioned_rate, std::nullopt);
  EXPECT_THAT(format_text(table, false), HasSubstr("2.718e+00    4.000e+00             -"));

  const SweepTable unstable = make_table(config, grid_of(config, simplegpt, 0.5));
  EXPECT_EQ(unstable.models[0].activation_rate, std::nullopt);
}

TEST(SweepTable, ShowsForEachRateHowManySeedsAreStableAndTheirLosses) {
  const SweepConfig config = configured({simplegpt}, {0, 1});
  std::vector<CellResult> results = grid_of(config, simplegpt, 4);
  results[0].summary.final_loss = 1.5;
  results[1].summary.final_loss = 2.25;
  results[4].status = CellStatus::diverged;  // one seed at rate 4
  const std::string text = format_text(make_table(config, results), true);
  EXPECT_THAT(text, HasSubstr("\n   1.000e+00        2         0   1.8750  1.5000 .. 2.2500\n"));
  EXPECT_THAT(text, HasSubstr("\n   4.000e+00        1         1   2.0000  2.0000 .. 2.0000\n"));
  EXPECT_THAT(text, HasSubstr("\n   8.000e+00        0         2\n"));
  EXPECT_THAT(format_text(make_table(config, results), false), Not(HasSubstr("1.8750  1.5000")));
}

TEST(SweepTable, HasNullInJsonForUnknownOrNonFiniteNumbers) {
  const SweepConfig config = configured({simplegpt});
  std::vector<CellResult> results = grid_of(config, simplegpt, 100);
  results[0].summary.final_loss = std::numeric_limits<double>::quiet_NaN();
  results[1].summary.final_loss = std::numeric_limits<double>::infinity();
  results[2].status = CellStatus::pending;
  results[2].summary = {};
  const std::string json = format_json(make_table(config, results));
  EXPECT_THAT(json, HasSubstr("\"smallest_unstable_lr\": null"));
  EXPECT_THAT(json, HasSubstr("\"activation_rate\": null"));
  EXPECT_THAT(json, Not(testing::AnyOf(HasSubstr("nan"), HasSubstr("NaN"), HasSubstr("inf"))));
  std::size_t nulls = 0;
  for (auto place = json.find("\"final_loss\": null"); place != std::string::npos;
       place = json.find("\"final_loss\": null", place + 1)) {
    ++nulls;
  }
  EXPECT_EQ(nulls, 3U);
}

TEST(SweepTable, IsFinishedOnceNoRunIsPendingOrFailed) {
  const SweepConfig config = configured({prenorm, simplegpt});
  std::vector<CellResult> results = joined(grid_of(config, prenorm, 2), grid_of(config, simplegpt, 4));
  EXPECT_TRUE(is_finished(make_table(config, results)));
  for (const CellStatus status : {CellStatus::pending, CellStatus::failed}) {
    for (CellResult& result : results) {
      const CellStatus before = std::exchange(result.status, status);
      EXPECT_FALSE(is_finished(make_table(config, results))) << cell_name(result.cell);
      result.status = before;
    }
  }
}

std::vector<std::string> warnings_for(const std::vector<CellResult>& results) {
  return warnings_of(make_table(configured({simplegpt}, {0, 1}), results));
}

TEST(SweepTable, SaysOfHowManySequencesTheSharpnessIsAndWarnsOfFew) {
  SweepConfig config = configured({simplegpt});
  config.train.data.batch_size = 6;
  config.train.data.accumulation = 2;
  config.train.probe.sharpness = true;
  const std::vector<CellResult> results = grid_of(config, simplegpt, 4);
  EXPECT_THAT(format_text(make_table(config, results), false), Not(HasSubstr("sequences"))) << "there are no probes";
  config.train.probe.every = 100;
  EXPECT_THAT(format_text(make_table(config, results), false),
              HasSubstr("2/sharpness and Adam's limit: from the mean loss of 12 held-out sequences\n"));
  EXPECT_THAT(format_json(make_table(config, results)), HasSubstr("\"sharpness_sequences\": 12"));
  EXPECT_THAT(warnings_of(make_table(config, results)), IsEmpty());
  config.train.probe.sharpness_sequences = 3;
  EXPECT_THAT(format_text(make_table(config, results), false), HasSubstr("loss of 3 held-out sequences\n"));
  EXPECT_THAT(warnings_of(make_table(config, results)),
              ElementsAre(HasSubstr("probe.sharpness_sequences is 3, fewer than the 12 of an update")));
}

TEST(SweepWarnings, NameTheEndOfTheGridThatIsTooClose) {
  const SweepConfig config = configured({simplegpt}, {0, 1});
  EXPECT_THAT(warnings_for(grid_of(config, simplegpt, 4)), IsEmpty());
  EXPECT_THAT(warnings_for(grid_of(config, simplegpt, 8)),
              ElementsAre("llama2-20M-simplegpt: the largest rate of the grid is stable; give a larger sweep.lr.to"));
  EXPECT_THAT(warnings_for(grid_of(config, simplegpt, 0.5)),
              ElementsAre("llama2-20M-simplegpt: no rate of the grid is stable; give a smaller sweep.lr.from"));
}

TEST(SweepWarnings, CountTheRunsThatFailedOrAreNotFinished) {
  std::vector<CellResult> results = grid_of(configured({simplegpt}, {0, 1}), simplegpt, 4);
  results[0].status = CellStatus::failed;
  results[1].status = CellStatus::pending;
  results[6].status = CellStatus::pending;
  EXPECT_THAT(
      warnings_for(results),
      ElementsAre(AllOf(HasSubstr("llama2-20M-simplegpt: 1 run"), HasSubstr("failed"), HasSubstr("--resume")),
                  AllOf(HasSubstr("llama2-20M-simplegpt: 2 runs"), HasSubstr("not finished"), HasSubstr("--resume"))));
}

TEST(SweepWarnings, AdviseNoOtherGridIfRunsFailed) {
  const SweepConfig config = configured({simplegpt}, {0, 1});
  // No rate has a result.
  std::vector<CellResult> results = grid_of(config, simplegpt, 4);
  for (CellResult& result : results) {
    result.status = CellStatus::failed;
  }
  EXPECT_THAT(warnings_for(results), ElementsAre(HasSubstr("8 runs failed")));
  // The largest rate of the grid is not known to be stable.
  results = grid_of(config, simplegpt, 4);
  results[6].status = results[7].status = CellStatus::failed;
  EXPECT_THAT(warnings_for(results), ElementsAre(HasSubstr("2 runs failed")));
}

}  // namespace
}  // namespace hessian::tests
