#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "content/anatomy_maps.h"
#include "content/layer_groups.h"
#include "figures/figures.h"
#include "named_figures.h"
#include "output/gnuplot.h"
#include "output/spectrum_tables.h"
#include "run_contents.h"

using hessian::analysis::Anatomy;
using hessian::analysis::Curve;
using hessian::analysis::DensityCurve;
using hessian::analysis::Figure;
using hessian::analysis::figures_of;
using hessian::analysis::GroupSpectrum;
using hessian::analysis::Mark;
using hessian::analysis::RunContent;
using hessian::tests::curve_named;
using hessian::tests::empty_run;
using hessian::tests::figure_named;
using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pointwise;

namespace hessian::tests {
namespace {

/// Returns a density from 16 samples of 32 steps on [-scale, scale].
DensityCurve density(const std::string& name, double scale) {
  DensityCurve made;
  made.name = name;
  made.units = "nats";
  made.grid = {-scale, 0, scale};
  made.density = {1e-3 / scale, 2 / scale, 1e-12 / scale};
  made.density_error = {2e-3 / scale, 0.5 / scale, 0};
  made.ritz_values = {-scale, 0.5 * scale};
  made.ritz_weights = {0.25, 0.75};
  made.samples = 16;
  made.steps = 32;
  made.width = 0.02 * scale;
  made.zero_threshold = 1e-3 * scale;
  made.mass_near_zero = 0.125;
  made.mass_near_zero_error = 0.03;
  return made;
}

/// Returns the spectra of two matrices, with two eigenvalues at each end.
GroupSpectrum spectrum(const std::string& name, double scale) {
  GroupSpectrum made;
  made.name = name;
  made.units = "nats";
  made.entries = 64;
  made.matrices = 2;
  made.count = 2;
  made.upper = {{4 * scale, 3 * scale, 8 * scale, 5 * scale}, {scale, 0, 0, 0.5 * scale}, {1, 1, 1, 1}};
  made.lower = {{-2 * scale, -scale, -4 * scale, -3 * scale}, {0, 0, 0, 0}, {1, 1, 1, 1}};
  made.trace = {{10 * scale, 20 * scale}, {3 * scale, 4 * scale}};
  made.frobenius_norm = {{9 * scale, 11 * scale}, {scale, scale}};
  made.effective_rank = {{5, 7}, {1, 1}};
  return made;
}

/// Returns the anatomy of a map without and one with a norm after it in each of two layers, for two sequences.
Anatomy anatomy(const std::string& bare, const std::string& normed) {
  Anatomy made;
  made.map = {bare, normed, bare, normed};
  made.layer = {0, 0, 1, 1};
  made.normalised = {0, 1, 0, 1};
  made.sequences = 2;
  made.gain_norm = {1, 3, 10, 30, 2, 4, 20, 40};
  made.curvature_norm = {0, 0, 5, 3, 0, 0, 2, 12};
  made.norm = {1, 3, 12, 31, 2, 4, 21, 50};
  made.cosine = {NAN, NAN, 0.25, 0.75, NAN, NAN, 0.5, 1};
  made.converged = std::vector<uint8_t>(8, 1);
  return made;
}

RunContent run_named(const std::string& path, const std::string& model) {
  RunContent run = empty_run(path, "[spectrum]\nmodel = \"new:" + model + "\"\n");
  run.info.program = "hessian-probe";
  return run;
}

TEST(SpectrumTables, SayHowManyEffectiveRanksAreUndetermined) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", 1), spectrum("residual-1", 1)};
  const auto cell = [&](std::size_t row) { return analysis::spectrum_tables(run, "run").at(0).rows.at(row).at(8); };
  EXPECT_EQ(cell(0), "6 ± 0.71");
  run.spectra[0].effective_rank.value[0] = NAN;
  run.spectra[0].undetermined_ranks = 1;
  EXPECT_EQ(cell(0), "7 ± 1 (1 of 2 undetermined)");
  run.spectra[0].effective_rank.value[1] = NAN;
  run.spectra[0].undetermined_ranks = 2;
  EXPECT_EQ(cell(0), "undetermined");
  EXPECT_THAT(figure_named(figures_of({run}), "effective-rank-residual").caption,
              HasSubstr("within 2 standard errors of zero"));
}

TEST(GroupNames, HaveAKindAndALayerIfTheyContainANumber) {
  const auto is = [](const std::string& name, const std::string& kind, std::optional<int64_t> layer) {
    const analysis::GroupName found = analysis::parse_group_name(name);
    EXPECT_EQ(found.kind, kind) << name;
    EXPECT_EQ(found.layer, layer) << name;
  };
  is("residual-12", "residual", 12);
  is("attn_proj_in-0", "attn_proj_in", 0);
  is("layers.3.attention.wq", "layers.attention.wq", 3);
  is("feed_forward.w2", "feed_forward.w2", std::nullopt);
  is("hessian", "hessian", std::nullopt);
  is("7", "7", std::nullopt);
}

TEST(SpectrumFigures, DrawADensityWithItsErrorItsRitzValuesAndItsSource) {
  RunContent run = empty_run("run.h5", "");
  run.densities = {density("residual-3", 2)};
  const Figure figure = figure_named(figures_of({run}), "density-residual-3");
  EXPECT_TRUE(figure.y.logarithmic);
  EXPECT_EQ(figure.y.low, 1e-6) << "a millionth of the largest";
  EXPECT_EQ(figure.x.label, "eigenvalue (nats)");
  const Curve& curve = figure.curves.at(0);
  EXPECT_THAT(curve.y, ElementsAre(5e-4, 1, 5e-13));
  EXPECT_THAT(curve.low, Pointwise(DoubleNear(1e-15), {-5e-4, 0.75, 5e-13}));
  EXPECT_THAT(curve.high, Pointwise(DoubleNear(1e-15), {1.5e-3, 1.25, 5e-13}));
  ASSERT_EQ(figure.ticks.size(), 1);
  EXPECT_THAT(figure.ticks[0].x, ElementsAre(-2, 1));
  EXPECT_THAT(figure.caption, HasSubstr("16 random samples of 32 Lanczos steps"));
  EXPECT_THAT(figure.caption, HasSubstr("to about 1.5e-01")) << "range 3, times pi / 64";
  EXPECT_THAT(figure.caption, HasSubstr("standard deviation 4.0e-02"));
  EXPECT_THAT(figure.caption, HasSubstr("|λ| ≤ 2.0e-03: 0.125 ± 0.030"));
}

TEST(SpectrumFigures, KeepABandThatReachesBelowZeroOnALogarithmicAxis) {
  RunContent run = empty_run("run.h5", "");
  run.densities = {density("residual-3", 2)};
  const std::string script =
      analysis::gnuplot_script(figure_named(figures_of({run}), "density-residual-3"), "svg", "image.svg");
  EXPECT_THAT(script, HasSubstr("-2 0.0005 1e-06 0.0015\n")) << "the axis ends at 1e-6";
}

TEST(SpectrumFigures, DrawOnlyRitzValuesThatAreDistinguishable) {
  RunContent run = empty_run("run.h5", "");
  run.densities = {density("residual-3", 1)};
  run.densities[0].ritz_values.clear();
  for (int i = 0; i <= 50000; ++i) {
    run.densities[0].ritz_values.push_back(i == 0 ? -1 : 0.9 + 1e-6 * i);
  }
  const Figure figure = figure_named(figures_of({run}), "density-residual-3");
  EXPECT_EQ(figure.ticks.at(0).x.size(), 50001) << "tables have all of them";
  const std::string script = analysis::gnuplot_script(figure, "svg", "image.svg");
  std::size_t strokes = 0;
  for (std::size_t found = script.find("set arrow"); found != std::string::npos;
       found = script.find("set arrow", found + 1)) {
    ++strokes;
  }
  // All values but one lie within 0.05, which holds 25 thousandths of the range of 1.95.
  EXPECT_GE(strokes, 25);
  EXPECT_LE(strokes, 28);
  EXPECT_THAT(script, HasSubstr("set arrow from -1, graph 0.000"));
}

TEST(SpectrumFigures, DrawDensitiesOfOlderFilesWhichHaveNoErrors) {
  RunContent run = empty_run("run.h5", "");
  DensityCurve old;
  old.name = "hessian";
  old.grid = {-1, 0, 1};
  old.density = {1e-3, 2, 1e-12};
  old.ritz_values = {-0.9, 0.8};
  run.densities = {old};
  const Figure figure = figure_named(figures_of({run}), "density-hessian");
  EXPECT_EQ(figure.y.low, 2e-6);
  EXPECT_EQ(figure.x.label, "eigenvalue");
  EXPECT_EQ(figure.caption, "Marks on the axis: Ritz values.");
  EXPECT_THAT(figure.curves.at(0).low, IsEmpty());
  EXPECT_THAT(figure.ticks.at(0).x, ElementsAre(-0.9, 0.8));
}

TEST(SpectrumFigures, CompareTheShapesOfLayersDividedByTheirLargestMagnitudes) {
  RunContent run = empty_run("run.h5", "");
  run.densities = {density("residual-0", 2), density("residual-10", 100), density("ffn_in-0", 1)};
  const std::vector<Figure> figures = figures_of({run});
  const Figure figure = figure_named(figures, "density-by-block-residual");
  ASSERT_EQ(figure.curves.size(), 2);
  EXPECT_EQ(figure.curves[0].label, "layer 0: 1 = 2.0e+00 nats");
  EXPECT_EQ(figure.curves[1].label, "layer 10: 1 = 1.0e+02 nats");
  for (const Curve& curve : figure.curves) {
    EXPECT_THAT(curve.x, ElementsAre(-1, 0, 1));
    EXPECT_THAT(curve.y, Pointwise(DoubleNear(1e-12), {1e-3, 2.0, 1e-12})) << "it still integrates to the same";
  }
  EXPECT_THROW(figure_named(figures, "density-by-block-ffn_in"), std::runtime_error) << "there is one layer";
  EXPECT_NO_THROW(figure_named(figures, "density-ffn_in-0"));
}

TEST(SpectrumFigures, DrawEigenvaluesByRankWithResidualsInTheirBars) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", 1)};
  const Figure figure = figure_named(figures_of({run}), "eigenvalues-residual-0");
  const Curve& upper = curve_named(figure, "largest");
  EXPECT_THAT(upper.x, ElementsAre(1, 2));
  EXPECT_THAT(upper.y, ElementsAre(6, 4)) << "medians of 4 and 8, and of 3 and 5";
  EXPECT_THAT(upper.low, ElementsAre(3, 3)) << "4 - 1, and 3";
  EXPECT_THAT(upper.high, ElementsAre(8, 5.5));
  EXPECT_EQ(upper.mark, Mark::points) << "which have bars";
  EXPECT_THAT(curve_named(figure, "smallest").y, ElementsAre(-3, -2));
  EXPECT_THAT(figure.warnings, IsEmpty());
}

TEST(SpectrumFigures, MarkPairsThatDidNotConverge) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", 1)};
  run.spectra[0].upper.converged[3] = 0;  // the second matrix's second
  const Figure figure = figure_named(figures_of({run}), "eigenvalues-residual-0");
  const Curve& open = curve_named(figure, "largest, not converged");
  EXPECT_EQ(open.mark, Mark::open_points);
  EXPECT_THAT(open.x, ElementsAre(2));
  EXPECT_THAT(open.y, ElementsAre(4));
  EXPECT_THAT(figure.warnings, ElementsAre(HasSubstr("1 of 8 eigenpairs of residual-0")));
  EXPECT_THAT(analysis::spectrum_warnings(run, "a"), ElementsAre(HasSubstr("1 of 8 eigenpairs of residual-0")));
}

TEST(SpectrumFigures, DrawTheLayersOfAKindByMagnitude) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", 100), spectrum("residual-1", 1)};
  run.spectra[1].lower.lambda = {2, -1, 4, -3};
  const std::vector<Figure> figures = figures_of({run});
  const Figure eigenvalues = figure_named(figures, "eigenvalues-by-block-residual");
  EXPECT_TRUE(eigenvalues.y.logarithmic);
  EXPECT_THAT(curve_named(eigenvalues, "layer 0").y, ElementsAre(600, 400));
  EXPECT_THAT(curve_named(eigenvalues, "layer 0, smallest").y, ElementsAre(300, 200));
  const Curve& signs = curve_named(eigenvalues, "layer 1, smallest");
  EXPECT_TRUE(std::isnan(signs.y[0])) << "3 is the smallest, but not negative";
  EXPECT_EQ(signs.y[1], 2);
  // Means over two matrices, and the errors of means: sqrt(3^2 + 4^2) / 2.
  const Curve& trace = figure_named(figures, "trace-residual").curves.at(0);
  EXPECT_THAT(trace.x, ElementsAre(0, 1));
  EXPECT_THAT(trace.y, ElementsAre(1500, 15));
  EXPECT_THAT(trace.low, ElementsAre(1250, 12.5));
  EXPECT_THAT(trace.high, ElementsAre(1750, 17.5));
  EXPECT_THAT(figure_named(figures, "frobenius-norm-residual").curves.at(0).y, ElementsAre(1000, 10));
  const Figure rank = figure_named(figures, "effective-rank-residual");
  EXPECT_THAT(rank.curves.at(0).y, ElementsAre(6, 6));
  EXPECT_THAT(rank.y.label, Not(HasSubstr("nats")));
}

TEST(SpectrumFigures, DrawBothTermsOfEveryMapOfOneRun) {
  RunContent run = empty_run("run.h5", "");
  run.anatomy = anatomy("attention.wv", "attention.wq");
  const std::vector<Figure> figures = figures_of({run});
  const Figure gain = figure_named(figures, "anatomy-gain");
  EXPECT_THAT(curve_named(gain, "attention.wv").y, ElementsAre(2, 3));
  EXPECT_THAT(curve_named(gain, "attention.wq").y, ElementsAre(20, 30));
  EXPECT_THAT(curve_named(gain, "attention.wq").high, ElementsAre(30, 40));
  const Figure curvature = figure_named(figures, "anatomy-curvature");
  ASSERT_EQ(curvature.curves.size(), 1) << "a bare map has none";
  EXPECT_THAT(curvature.curves[0].y, ElementsAre(4, 7));
  // 5 / 10 and 3 / 30; 2 / 20 and 12 / 40.
  EXPECT_THAT(figure_named(figures, "anatomy-ratio").curves.at(0).y, Pointwise(DoubleNear(1e-12), {0.3, 0.2}));
  EXPECT_THAT(figure_named(figures, "anatomy-cosine").curves.at(0).y, ElementsAre(0.5, 0.75));
}

TEST(SpectrumFigures, CompareMapsOfSeveralRunsUnderMatchedNames) {
  RunContent a = run_named("a.h5", "x-prenorm");
  RunContent b = run_named("b.h5", "x-simplegpt");
  a.anatomy = anatomy("attention.wv", "attention.wq");
  b.anatomy = anatomy("attention.snq", "attention.snv");
  b.anatomy->converged[5] = 0;
  const std::vector<Figure> figures = figures_of({a, b});
  const Figure v = figure_named(figures, "anatomy-terms-attention.wv");
  ASSERT_EQ(v.curves.size(), 3);
  EXPECT_THAT(curve_named(v, "x-prenorm").y, ElementsAre(2, 3));
  EXPECT_THAT(curve_named(v, "x-simplegpt").y, ElementsAre(20, 30));
  const Curve& bent = curve_named(v, "x-simplegpt, C");
  EXPECT_THAT(bent.y, ElementsAre(4, 7));
  EXPECT_TRUE(bent.dashed && !bent.in_legend);
  EXPECT_THAT(v.warnings, ElementsAre(HasSubstr("x-simplegpt: at 1 of 8 maps and sequences")));
  EXPECT_THAT(curve_named(figure_named(figures, "anatomy-cosine"), "x-prenorm").y, ElementsAre(0.5, 0.75));
}

TEST(SpectrumFigures, LeaveOutDataThatHaveNotBeenWritten) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", NAN)};
  run.anatomy = anatomy("attention.wv", "attention.wq");
  for (auto* values :
       {&run.anatomy->gain_norm, &run.anatomy->curvature_norm, &run.anatomy->norm, &run.anatomy->cosine}) {
    std::fill(values->begin(), values->end(), NAN);
  }
  std::fill(run.anatomy->converged.begin(), run.anatomy->converged.end(), 0);
  EXPECT_THAT(figures_of({run}), IsEmpty());
  EXPECT_THAT(analysis::spectrum_warnings(run, "a"), IsEmpty()) << "what is not there yet is no failure";
}

TEST(SpectrumTables, HaveARowForEachMatrixAndEachMap) {
  RunContent run = empty_run("run.h5", "");
  run.spectra = {spectrum("residual-0", 1)};
  run.densities = {density("residual-0", 2)};
  run.anatomy = anatomy("attention.wv", "attention.wq");
  const std::vector<analysis::Table> tables = analysis::spectrum_tables(run, "a");
  ASSERT_EQ(tables.size(), 3);
  EXPECT_THAT(tables[0].rows, ElementsAre(ElementsAre("residual-0", "64", "2", "6", "-3", "1", "15 ± 2.5", "10 ± 0.71",
                                                      "6 ± 0.71", "nats")));
  EXPECT_THAT(tables[1].rows,
              ElementsAre(ElementsAre("residual-0", "16", "32", "-2", "1", "0.04", "0.002", "0.125 ± 0.03", "nats")));
  run.spectra[0].left_out = 3;
  run.spectra[0].clip_factor = 0.25;
  EXPECT_EQ(analysis::spectrum_tables(run, "a")[0].rows[0][1], "64 (3 without updates left out; c = 0.25)");
  ASSERT_EQ(tables[2].rows.size(), 4);
  EXPECT_THAT(tables[2].rows[0], ElementsAre("0", "attention.wv", "2", "0", "2", "–", "–", "2 of 2"));
  EXPECT_THAT(tables[2].rows[1], ElementsAre("0", "attention.wq", "20", "4", "21.5", "0.3", "0.5", "2 of 2"));
  for (const analysis::Table& table : tables) {
    for (const auto& row : table.rows) {
      EXPECT_EQ(row.size(), table.header.size()) << table.title;
    }
  }
}

}  // namespace
}  // namespace hessian::tests
