#include "figures/figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "named_figures.h"
#include "run_contents.h"

using hessian::analysis::Curve;
using hessian::analysis::Figure;
using hessian::analysis::figures_of;
using hessian::analysis::Mark;
using hessian::analysis::RunContent;
using hessian::tests::counting_site;
using hessian::tests::curve_named;
using hessian::tests::empty_run;
using hessian::tests::figure_named;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pointwise;

namespace hessian::tests {
namespace {

RunContent trained(int64_t steps) {
  RunContent run = empty_run("run.h5", "[optimizer]\nlr = 0.1\nbeta1 = 0.5\n");
  analysis::TrainingCurves training;
  for (int64_t step = 1; step <= steps; ++step) {
    training.steps.push_back(step);
    training.loss.push_back(1.0 / static_cast<double>(step));
    training.lr.push_back(0.1);
    training.grad_norm.push_back(2);
  }
  training.val_steps = {steps};
  training.val_loss = {0.25};
  run.training = training;
  return run;
}

/// Returns a sweep of two models at rates 1, 2 and 4: the second diverges at 4 for one seed of two.
RunContent swept() {
  RunContent run = empty_run("sweep.h5", "");
  run.info.program = "hessian-sweep";
  analysis::SweepRuns sweep;
  for (const char* model : {"a-prenorm", "a-simplegpt"}) {
    for (const double rate : {1.0, 2.0, 4.0}) {
      for (const int64_t seed : {0, 1}) {
        const bool diverged = std::string(model) == "a-simplegpt" && rate == 4 && seed == 1;
        sweep.model.emplace_back(model);
        sweep.lr.push_back(rate);
        sweep.seed.push_back(seed);
        sweep.status.emplace_back(diverged ? "diverged" : "stable");
        sweep.final_loss.push_back(diverged ? 50 : rate + static_cast<double>(seed));
        sweep.initial_loss.push_back(9);
        sweep.diverged_at.push_back(diverged ? 7 : -1);
        sweep.run_file.emplace_back("run.h5");
      }
    }
  }
  sweep.models = {"a-prenorm", "a-simplegpt"};
  sweep.summary = {{"largest_stable_lr", {4, 2}}, {"activation_rate", {8, NAN}}};
  run.sweep = sweep;
  return run;
}

TEST(Figures, ShowMedianAndRangeOverSequencesByLayer) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("residual", {0, 50})};
  const Figure figure = figure_named(figures_of({run}), "spectral-norm-residual");
  // Norms of the first probe: layer 0 has 1 and 2, layer 1 has 3 and 4; of the second 5 to 8.
  const Curve& first = curve_named(figure, "step 0");
  EXPECT_THAT(first.x, ElementsAre(0, 1));
  EXPECT_THAT(first.y, ElementsAre(1.5, 3.5));
  EXPECT_THAT(first.low, ElementsAre(1, 3));
  EXPECT_THAT(first.high, ElementsAre(2, 4));
  EXPECT_THAT(curve_named(figure, "step 50").y, ElementsAre(5.5, 7.5));
  EXPECT_THAT(figure.y.label, HasSubstr("nats"));
  EXPECT_THAT(figure.warnings, IsEmpty());
}

TEST(Figures, MarkEstimatesThatDidNotConverge) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("ffn_in", {3})};
  run.sites[0].converged[2] = 0;  // layer 1, sequence 0
  const Figure figure = figure_named(figures_of({run}), "spectral-norm-ffn_in");
  const Curve& open = curve_named(figure, "step 3, not converged");
  EXPECT_EQ(open.mark, Mark::open_points);
  EXPECT_THAT(open.x, ElementsAre(1));
  EXPECT_THAT(open.y, ElementsAre(3.5));
  EXPECT_THAT(figure.warnings, ElementsAre(HasSubstr("1 of 4 estimates at step 3 did not reach their tolerance")));
}

TEST(Figures, DrawNormsOverTrainingAsAHeatMapOfLayersAndSteps) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("residual", {0, 50, 100})};
  const Figure figure = figure_named(figures_of({run}), "spectral-norm-over-training-residual");
  ASSERT_TRUE(figure.heat_map);
  EXPECT_THAT(figure.heat_map->x, ElementsAre(0, 50, 100));
  EXPECT_THAT(figure.heat_map->y, ElementsAre(0, 1));
  EXPECT_THAT(figure.heat_map->values, ElementsAre(1.5, 5.5, 9.5, 3.5, 7.5, 11.5));
}

TEST(Figures, MarkUpperBoundsThatLieVisiblyAboveTheirNorms) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("residual", {0})};
  // Medians of the norms: 1.5 and 3.5. The first layer's bounds are close, the second's are not.
  run.sites[0].norm_upper = {1.01, 2.01, 3.5, 4.5};
  const Figure figure = figure_named(figures_of({run}), "spectral-norm-residual");
  const Curve& bounds = curve_named(figure, "step 0, upper bound");
  EXPECT_EQ(bounds.mark, Mark::bounds);
  EXPECT_FALSE(bounds.in_legend);
  EXPECT_THAT(bounds.x, ElementsAre(1));
  EXPECT_THAT(bounds.y, ElementsAre(4));
  EXPECT_THAT(figure.caption, testing::HasSubstr("upper bounds"));
  run.sites[0].norm_upper = {1.01, 2.01, 3.01, 4.01};
  EXPECT_THAT(figure_named(figures_of({run}), "spectral-norm-residual").caption,
              testing::Not(testing::HasSubstr("upper bounds")));
}

TEST(Figures, MarkTheUpperBoundsOfEachProbe) {
  RunContent run = empty_run("run.h5", "");
  run.sites = {counting_site("residual", {0, 50})};
  // Norms at step 50: 5 and 6 in the first layer, 7 and 8 in the second. Only the first layer's bounds are far above.
  run.sites[0].norm_upper = {1.01, 2.01, 3.01, 4.01, 6, 7, 7.01, 8.01};
  const Figure figure = figure_named(figures_of({run}), "spectral-norm-residual");
  const Curve& bounds = curve_named(figure, "step 50, upper bound");
  EXPECT_THAT(bounds.x, ElementsAre(0));
  EXPECT_THAT(bounds.y, ElementsAre(6.5));
  EXPECT_TRUE(std::none_of(figure.curves.begin(), figure.curves.end(),
                           [](const Curve& curve) { return curve.label == "step 0, upper bound"; }));
}

TEST(Figures, UseOneColourScaleForSeveralHeatMaps) {
  RunContent a = empty_run("a.h5", "seed = 1\n");
  RunContent b = empty_run("b.h5", "seed = 2\n");
  a.sites = {counting_site("residual", {0, 50})};
  b.sites = a.sites;
  for (double& norm : b.sites[0].spectral_norm) {
    norm *= 1000;
  }
  const std::vector<Figure> figures = figures_of({a, b});
  for (const char* id : {"spectral-norm-over-training-residual-1", "spectral-norm-over-training-residual-2"}) {
    const Figure figure = figure_named(figures, id);
    EXPECT_EQ(figure.heat_map->low, 1.5) << id;
    EXPECT_EQ(figure.heat_map->high, 7500) << id;
    EXPECT_TRUE(figure.heat_map->logarithmic) << id;
  }
}

TEST(Figures, OverlayRunsLabelledByTheirDifferences) {
  RunContent a = empty_run("a.h5", "steps = 9\n[model]\nname = \"new:x-prenorm\"\n[optimizer]\nlr = 0.5\n");
  RunContent b = empty_run("b.h5", "steps = 9\n[model]\nname = \"new:x-simplegpt\"\n[optimizer]\nlr = 0.25\n");
  a.sites = b.sites = {counting_site("residual", {7})};
  const Figure figure = figure_named(figures_of({a, b}), "spectral-norm-residual");
  EXPECT_NE(curve_named(figure, "x-prenorm, lr 0.5, step 7").color,
            curve_named(figure, "x-simplegpt, lr 0.25, step 7").color);
}

TEST(Figures, NameSomeOfManyRunsAndColourThemInOrder) {
  std::vector<RunContent> runs;
  for (int i = 0; i < 40; ++i) {
    runs.push_back(trained(3));
    runs.back().info.config = "seed = " + std::to_string(i) + "\n";
    runs.back().sites = {counting_site("residual", {0, 50})};
  }
  const std::vector<Figure> figures = figures_of(runs);
  for (const char* id : {"grad-norm", "spectral-norm-residual", "rms-over-training-residual"}) {
    const Figure figure = figure_named(figures, id);
    const auto named = [](const Curve& curve) { return curve.in_legend; };
    EXPECT_EQ(std::count_if(figure.curves.begin(), figure.curves.end(), named), 12) << id;
    EXPECT_TRUE(figure.curves.front().in_legend && figure.curves.back().in_legend) << id;
    EXPECT_THAT(figure.caption, HasSubstr("40 curves, from dark to light")) << id;
    EXPECT_NE(figure.curves[0].color, figure.curves[7].color) << id;
  }
  for (const Figure& figure : figures) {
    EXPECT_FALSE(figure.heat_map) << "forty maps would be drawn";
  }
}

TEST(Figures, KeepEveryStepOfShortRunsAndRangesOfLongOnes) {
  const Figure whole = figure_named(figures_of({trained(100)}), "loss");
  EXPECT_EQ(curve_named(whole, "training").y.size(), 100);
  EXPECT_THAT(curve_named(whole, "training").low, IsEmpty());

  const Figure condensed = figure_named(figures_of({trained(1'000'000)}), "loss");
  const Curve& curve = curve_named(condensed, "training");
  ASSERT_EQ(curve.y.size(), 1000);
  // The first thousand losses are 1, 1/2, ... 1/1000.
  EXPECT_EQ(curve.high.front(), 1);
  EXPECT_EQ(curve.low.front(), 1e-3);
  EXPECT_NEAR(curve.y.front(), (1.0 / 500 + 1.0 / 501) / 2, 1e-12);
  EXPECT_TRUE(condensed.y.logarithmic);
  EXPECT_THAT(curve_named(condensed, "validation").y, ElementsAre(0.25));
}

TEST(Figures, DrawSharpnessWithItsThresholds) {
  RunContent run = trained(10);
  run.sharpness = analysis::SharpnessCurve{{0, 10}, {30, 15}, {1, 0}};
  run.preconditioned_sharpness = analysis::SharpnessCurve{{0, 10}, {NAN, 15}, {0, 1}};
  const std::vector<Figure> figures = figures_of({run});
  const Figure bare = figure_named(figures, "sharpness");
  EXPECT_THAT(curve_named(bare, "measured").y, ElementsAre(30, 15));
  // 2 / lr, and (2 + 2 beta1) / (1 - beta1) / lr with beta1 = 0.5.
  EXPECT_THAT(curve_named(bare, "measured, threshold").y, Pointwise(DoubleNear(1e-9), {20.0, 20.0}));
  EXPECT_THAT(bare.warnings, ElementsAre(HasSubstr("1 of 2 estimates")));
  const Figure preconditioned = figure_named(figures, "preconditioned-sharpness");
  EXPECT_THAT(curve_named(preconditioned, "measured, threshold").y, Pointwise(DoubleNear(1e-9), {60.0, 60.0}));
  EXPECT_THAT(preconditioned.warnings, IsEmpty()) << "what is not defined before the first update is no failure";
}

std::string sharpness_config(const std::string& probe) {
  return "[data]\nbatch_size = 4\naccumulation = 3\n[optimizer]\nlr = 0.1\n[probe]\nsharpness = true\nsequences = 2\n" +
         probe;
}

TEST(Figures, SayOfHowManySequencesTheSharpnessIsAndWarnOfFew) {
  RunContent run = trained(10);
  run.sharpness = analysis::SharpnessCurve{{0, 10}, {30, 15}, {1, 1}};
  const auto figure = [&run](const std::string& probe) {
    run.info.config = sharpness_config(probe);
    return figure_named(figures_of({run}), "sharpness");
  };
  EXPECT_THAT(figure("sharpness_sequences = 0").caption, HasSubstr("Of the mean loss of 12 held-out sequences."));
  EXPECT_THAT(figure("sharpness_sequences = 0").warnings, IsEmpty());
  EXPECT_THAT(figure("sharpness_sequences = 12").warnings, IsEmpty());
  EXPECT_THAT(figure("sharpness_sequences = 5").caption, HasSubstr("Of the mean loss of 5 held-out sequences."));
  EXPECT_THAT(figure("sharpness_sequences = 5").warnings,
              ElementsAre(HasSubstr("the sharpness is that of 5 sequences, fewer than the 12 of an update")));
  // Files from before the key had the sharpness of the probe's sequences.
  EXPECT_THAT(figure("").caption, HasSubstr("Of the mean loss of 2 held-out sequences."));
  EXPECT_THAT(figure("").warnings, ElementsAre(HasSubstr("that of 2 sequences, fewer than the 12")));
  RunContent other = run;
  other.info.config = sharpness_config("sharpness_sequences = 20");
  EXPECT_THAT(figure_named(figures_of({run, other}), "sharpness").caption,
              HasSubstr("Of the mean loss of 2 to 20 held-out sequences."));
}

TEST(Figures, OfASweepSayOfHowManySequencesTheSharpnessIs) {
  RunContent run = swept();
  run.info.config = sharpness_config("sharpness_sequences = 5");
  EXPECT_THAT(figure_named(figures_of({run}), "stable-rates").warnings, IsEmpty()) << "there is no sharpness";
  run.sweep->summary["sharpness_rate"] = {3, NAN};
  const Figure rates = figure_named(figures_of({run}), "stable-rates");
  EXPECT_THAT(rates.caption, HasSubstr("mean loss of 5 held-out sequences"));
  EXPECT_THAT(rates.warnings, ElementsAre(HasSubstr("that of 5 sequences, fewer than the 12 of an update")));
}

TEST(Figures, DrawThresholdsAtTheRateOfTheUpdateThatFollows) {
  RunContent run = trained(10);
  for (std::size_t i = 0; i < 10; ++i) {
    run.training->lr[i] = 2.0 / static_cast<double>(run.training->steps[i]);
  }
  run.sharpness = analysis::SharpnessCurve{{0, 4, 10}, {1, 1, 1}, {1, 1, 1}};
  // The rates of the updates 1, 5 and, since none follows, 10.
  EXPECT_THAT(curve_named(figure_named(figures_of({run}), "sharpness"), "measured, threshold").y,
              Pointwise(DoubleNear(1e-9), {1.0, 5.0, 10.0}));
}

TEST(Figures, MarkDivergedRatesAndTheLargestStableOne) {
  const std::vector<Figure> figures = figures_of({swept()});
  const Figure figure = figure_named(figures, "lr-sweep");
  EXPECT_TRUE(figure.x.logarithmic);
  const Curve& stable = curve_named(figure, "a-simplegpt");
  EXPECT_THAT(stable.x, ElementsAre(1, 2, 4));
  EXPECT_THAT(stable.y, ElementsAre(1.5, 2.5, 4)) << "at 4 one seed is left";
  EXPECT_THAT(stable.high, ElementsAre(2, 3, 4));
  const Curve& diverged = curve_named(figure, "a-simplegpt, diverged");
  EXPECT_EQ(diverged.mark, Mark::crosses);
  EXPECT_THAT(diverged.x, ElementsAre(4));
  EXPECT_GT(diverged.y[0], 5) << "above every stable loss";
  EXPECT_LE(diverged.y[0], figure.y.high) << "inside the frame";
  EXPECT_THAT(diverged.recorded, ElementsAre(50)) << "the loss at which it ended";
  ASSERT_EQ(figure.verticals.size(), 2);
  EXPECT_EQ(figure.verticals[0].x, 4);
  EXPECT_EQ(figure.verticals[1].x, 2);
  ASSERT_EQ(figure.ticks.size(), 1) << "curvature of the other model is not known";
  EXPECT_THAT(figure.ticks[0].x, ElementsAre(8)) << "beyond the grid by no more than a factor of two";

  const Figure rates = figure_named(figures, "stable-rates");
  EXPECT_THAT(curve_named(rates, "largest stable rate").y, ElementsAre(4, 2));
  EXPECT_THAT(curve_named(rates, "2 / λmax(Hₓₓ)").x, ElementsAre(1)) << "the other model has none";
  EXPECT_THAT(rates.x.names, ElementsAre("a-prenorm", "a-simplegpt"));
}

TEST(Figures, LeaveOutQuantitiesWithoutNumbers) {
  RunContent run = trained(0);
  run.training->val_steps.clear();
  run.training->val_loss.clear();
  run.sites = {counting_site("residual", {})};
  EXPECT_THAT(figures_of({run}), IsEmpty());
  run.sites = {counting_site("residual", {0})};
  std::fill(run.sites[0].spectral_norm.begin(), run.sites[0].spectral_norm.end(), NAN);
  for (const Figure& figure : figures_of({run})) {
    EXPECT_NE(figure.id, "spectral-norm-residual");
  }
}

}  // namespace
}  // namespace hessian::tests
