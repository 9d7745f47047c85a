#include "train/run_summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "loader_support.h"
#include "run_file/train_layout.h"
#include "train/config.h"

// Summarises run files with chosen numbers, and compares the outcome with results worked out by hand.

namespace hessian::tests {
namespace {

using experiments::RunFileWriter;
using experiments::RunSummary;
using experiments::TrainConfig;
using experiments::TrainLayoutOptions;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The contents of a run file. The probes are at steps 0, 5 and 10 of 10, with two layers and three sequences.
struct Recorded {
  std::vector<double> losses = {6, 5, 4, 3, 3, 3, 3, 3, 2, 1};
  std::vector<int64_t> val_steps = {};
  std::vector<double> val_losses = {};
  std::vector<double> lambda_max = {};                  ///< [3, 2, 3]
  std::vector<double> sharpness = {};                   ///< [3]
  std::vector<double> preconditioned = {};              ///< [3]
  std::vector<std::size_t> unconverged = {};            ///< estimates of lambda_max
  std::vector<std::size_t> unconverged_sharpness = {};  ///< probes, of both kinds
  bool finished = true;
};

/// The multipliers of the probes are 1/4, the first of three steps of warm-up; 5/7, two of seven steps after it; and 1/7, that
/// of the last update.
TrainConfig config_of() {
  TrainConfig config;
  config.steps = 10;
  config.schedule.warmup = 3;
  config.optimizer.beta1 = 0.75;  // (2 + 2 beta1) / (1 - beta1) = 14
  config.divergence.smoothing = 1;
  config.divergence.patience = 2;
  return config;
}

/// Returns `converged` of some estimates: 0 where they are among `unconverged`, otherwise 1.
std::vector<uint8_t> converged_except(const std::vector<std::size_t>& unconverged, std::size_t estimates) {
  std::vector<uint8_t> converged(estimates, 1);
  for (const std::size_t estimate : unconverged) {
    converged.at(estimate) = 0;
  }
  return converged;
}

RunSummary summary_of(const Recorded& recorded) {
  const support::TemporaryFolder folder;
  TrainConfig config = config_of();
  experiments::RunInfo info = experiments::make_run_info("hessian-train", "test");
  info.config = experiments::write_config(experiments::train_fields(config));
  TrainLayoutOptions layout;
  layout.probe.probes = 0;
  layout.probe.sequences = 3;
  if (!recorded.lambda_max.empty()) {
    layout.probe.sites = {{"residual", {0, 1}}};
  }
  layout.sharpness = !recorded.sharpness.empty();
  const std::string path = folder / "run.h5";
  auto writer = RunFileWriter::create(path, info, experiments::train_datasets(layout), false);
  const std::size_t rows = recorded.losses.size();
  std::vector<int64_t> steps(rows);
  std::iota(steps.begin(), steps.end(), int64_t{1});
  std::vector<int64_t> tokens(rows);
  std::transform(steps.begin(), steps.end(), tokens.begin(), [](int64_t step) { return 100 * step; });
  writer.append("/train/step", std::span<const int64_t>(steps));
  writer.append("/train/tokens", std::span<const int64_t>(tokens));
  writer.append("/train/loss", std::span<const double>(recorded.losses));
  writer.append("/train/grad_norm", std::vector<double>(rows, 1.0));
  writer.append("/train/step_seconds", std::vector<double>(rows, 0.5));
  writer.append("/train/val_step", std::span<const int64_t>(recorded.val_steps));
  writer.append("/train/val_loss", std::span<const double>(recorded.val_losses));
  if (!recorded.lambda_max.empty()) {
    const std::vector<int64_t> probe_steps = {0, 5, 10};
    writer.append("/probe/step", std::span<const int64_t>(probe_steps));
    writer.append("/probe/residual/lambda_max", std::span<const double>(recorded.lambda_max));
    writer.append("/probe/residual/converged", converged_except(recorded.unconverged, recorded.lambda_max.size()));
  }
  if (layout.sharpness) {
    writer.append("/probe/sharpness/lambda_max", std::span<const double>(recorded.sharpness));
    writer.append("/probe/preconditioned_sharpness/lambda_max", std::span<const double>(recorded.preconditioned));
    for (const std::string group : {"/probe/sharpness", "/probe/preconditioned_sharpness"}) {
      writer.append(group + "/converged", converged_except(recorded.unconverged_sharpness, recorded.sharpness.size()));
    }
  }
  if (recorded.finished) {
    writer.finish();
  } else {
    writer.flush();
  }
  return experiments::summarise_run(path);
}

/// Norms whose medians over the sequences are 2 and 4, 2.8 and 0.7, -2 and -1 for the layers of each probe.
const std::vector<double> chosen_norms = {2,  1,  9,   5,  4,   1,   //
                                          1,  3,  2.8, -5, 0.7, 90,  //
                                          -1, -2, -3,  -1, -9,  70};

TEST(AllowedRates, AreTheSmallestOverProbesOfTheLargestMedianOverLayers) {
  // 2 / (4/4) = 2 and 2 / (2.8 5/7) = 1; the last probe has no positive curvature.
  EXPECT_NEAR(summary_of({.lambda_max = chosen_norms}).activation_rate.value(), 1, 1e-12);
  std::vector<double> norms = chosen_norms;
  norms[8] = 1;  // the median of 1, 3 and 1
  EXPECT_NEAR(summary_of({.lambda_max = norms}).activation_rate.value(), 2, 1e-12);
  norms[15] = norms[16] = norms[17] = 98;  // 2 / (98/7) at the end
  EXPECT_NEAR(summary_of({.lambda_max = norms}).activation_rate.value(), 1.0 / 7, 1e-12);
}

TEST(AllowedRates, LeaveOutProbesWithAnUnknownCurvature) {
  for (const std::size_t unknown : {6, 11}) {  // in either layer of the second probe
    std::vector<double> norms = chosen_norms;
    norms[unknown] = nan;
    EXPECT_NEAR(summary_of({.lambda_max = norms}).activation_rate.value(), 2, 1e-12) << unknown;
  }
  EXPECT_FALSE(summary_of({.lambda_max = std::vector<double>(18, nan)}).activation_rate);
  EXPECT_FALSE(summary_of({.lambda_max = std::vector<double>(18, -1.0)}).activation_rate);
  EXPECT_FALSE(summary_of({}).activation_rate);
}

TEST(AllowedRates, OfTheSharpnessHaveTheirOwnLimits) {
  // 2 / (8/4) = 1, 2 / (5.6 5/7) = 0.5 and 2 / (7/7) = 2; 14 / (28/4) = 2, 14 / (9.8 5/7) = 2 and 14 / (98/7) = 1.
  const RunSummary summary =
      summary_of({.lambda_max = chosen_norms, .sharpness = {8, 5.6, 7}, .preconditioned = {28, 9.8, 98}});
  EXPECT_NEAR(summary.sharpness_rate.value(), 0.5, 1e-12);
  EXPECT_NEAR(summary.preconditioned_rate.value(), 1, 1e-12);
  EXPECT_NEAR(summary.activation_rate.value(), 1, 1e-12);
  const RunSummary without = summary_of({.lambda_max = chosen_norms});
  EXPECT_FALSE(without.sharpness_rate || without.preconditioned_rate);
}

TEST(AllowedRates, LeaveOutProbesWithAnEstimateThatHasNotConverged) {
  // Of the rates 2, 1 and none of the three probes, the second is left out.
  for (const std::size_t estimate : {6, 7, 8, 9, 10, 11}) {  // any sequence of either layer
    EXPECT_NEAR(summary_of({.lambda_max = chosen_norms, .unconverged = {estimate}}).activation_rate.value(), 2, 1e-12);
  }
  EXPECT_NEAR(summary_of({.lambda_max = chosen_norms, .unconverged = {0}}).activation_rate.value(), 1, 1e-12);
  EXPECT_FALSE(summary_of({.lambda_max = chosen_norms, .unconverged = {5, 6}}).activation_rate);
  // Of the rates 1, 0.5 and 2, and 2, 2 and 1.
  const auto without = [](const std::vector<std::size_t>& probes) {
    const RunSummary summary = summary_of({.lambda_max = chosen_norms,
                                           .sharpness = {8, 5.6, 7},
                                           .preconditioned = {28, 9.8, 98},
                                           .unconverged_sharpness = probes});
    return std::pair(summary.sharpness_rate.value_or(-1), summary.preconditioned_rate.value_or(-1));
  };
  EXPECT_NEAR(without({1}).first, 1, 1e-12);
  EXPECT_NEAR(without({1}).second, 1, 1e-12);
  EXPECT_NEAR(without({2}).first, 0.5, 1e-12);
  EXPECT_NEAR(without({2}).second, 2, 1e-12);
  EXPECT_NEAR(without({0, 1}).first, 2, 1e-12);
  EXPECT_EQ(without({0, 1, 2}), std::pair(-1.0, -1.0));
}

TEST(FinalLoss, IsThatOfAValidationAtTheEndOrTheMeanOfTheLastTenth) {
  EXPECT_EQ(summary_of({.val_steps = {5, 10}, .val_losses = {9, 2.5}}).final_loss, 2.5);
  EXPECT_EQ(summary_of({.val_steps = {5, 9}, .val_losses = {9, 2.5}}).final_loss, 1) << "not at the end";
  EXPECT_EQ(summary_of({}).final_loss, 1);
  std::vector<double> losses(21, 6.0);
  losses[18] = 1;
  losses[19] = 2;
  losses[20] = 6;  // a tenth of 21 steps are 3, rounded up
  EXPECT_EQ(summary_of({.losses = losses}).final_loss, 3);
  EXPECT_TRUE(std::isnan(summary_of({.losses = {6, 5, nan}, .val_steps = {3}, .val_losses = {2}}).final_loss));
}

TEST(RunSummary, HasTheNumbersOfTheFirstAndTheLastStep) {
  const RunSummary summary = summary_of({.val_steps = {5, 9}, .val_losses = {9, 2.5}});
  EXPECT_TRUE(summary.finished);
  EXPECT_EQ(summary.step, 10);
  EXPECT_EQ(summary.initial_loss, 6);
  EXPECT_EQ(summary.loss, 1);
  EXPECT_EQ(summary.validation_loss, 2.5);
  EXPECT_EQ(summary.tokens_per_second, 200);  // 1000 tokens in 10 steps of 0.5 s
  EXPECT_FALSE(summary.divergence);
  const RunSummary empty = summary_of({.losses = {}, .finished = false});
  EXPECT_FALSE(empty.finished);
  EXPECT_EQ(empty.step, 0);
  EXPECT_TRUE(std::isnan(empty.initial_loss) && std::isnan(empty.loss) && std::isnan(empty.final_loss));
}

TEST(RunSummary, JudgesThePlateauOfFinishedRunsOnly) {
  const std::vector<double> flat(10, 6.0);
  EXPECT_EQ(summary_of({.losses = flat}).divergence.value().kind, experiments::DivergenceKind::never_left_plateau);
  EXPECT_FALSE(summary_of({.losses = flat, .finished = false}).divergence);
  const std::vector<double> risen = {6, 3, 3, 3, 5, 5, 5, 5, 5, 5};
  for (const bool finished : {false, true}) {
    const auto divergence = summary_of({.losses = risen, .finished = finished}).divergence;
    EXPECT_EQ(divergence.value().kind, experiments::DivergenceKind::loss_rose);
    EXPECT_EQ(divergence.value().step, 5);
  }
}

}  // namespace
}  // namespace hessian::tests
