#include "output/gnuplot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "changed_environment.h"
#include "figures/figures.h"
#include "output/gnuplot_axes.h"
#include "refusal.h"
#include "run_file_support.h"

using hessian::analysis::Figure;
using hessian::tests::TemporaryFolder;
using testing::HasSubstr;
using testing::StartsWith;

namespace hessian::tests {
namespace {

Figure simple_figure() {
  Figure figure;
  figure.id = "simple";
  figure.title = "It's a 'title' with {braces}, \\ and $1";
  figure.x.label = "x_1";
  figure.y.label = "‖y‖ (nats)";
  figure.curves = {{"a_b^c @d &e", "#0072B2", {1, 2, 3}, {1, NAN, 1000}, {0.5, 1, 900}, {2, 2, 1100}}};
  return figure;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

bool has_gnuplot() {
  return std::system("command -v gnuplot >/dev/null") == 0;
}

/// Returns the texts of an SVG's text elements, concatenated.
std::string texts_of(const std::string& svg) {
  std::string texts;
  bool inside = false;
  for (const char c : svg) {
    inside = c == '<' ? false : inside;
    texts += inside ? std::string(1, c) : "";
    inside = c == '>' ? true : inside;
  }
  return texts;
}

TEST(Gnuplot, DrawsEveryFormat) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  draw(simple_figure(), "svg", folder / "a.svg");
  draw(simple_figure(), "png", folder / "a.png");
  draw(simple_figure(), "pdf", folder / "a.pdf");
  EXPECT_THAT(contents(folder / "a.svg"), HasSubstr("<svg"));
  EXPECT_THAT(contents(folder / "a.svg"), HasSubstr("</svg>"));
  EXPECT_THAT(contents(folder / "a.png"), StartsWith("\x89PNG"));
  EXPECT_THAT(contents(folder / "a.pdf"), StartsWith("%PDF"));
  EXPECT_EQ(folder.names().size(), 3) << "scripts and messages are removed";
}

TEST(Gnuplot, DrawsAMillionStepsInASmallFileAndKeepsASpikeOfOneStep) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  analysis::RunContent run;
  run.training.emplace();
  for (int64_t step = 1; step <= 1'000'000; ++step) {
    run.training->steps.push_back(step);
    run.training->loss.push_back(step == 421'337 ? 9.75 : 3 + 0.1 * std::sin(static_cast<double>(step)));
    run.training->lr.push_back(1e-3);
    run.training->grad_norm.push_back(1);
  }
  const std::vector<Figure> figures = analysis::figures_of({run});
  const auto loss =
      std::find_if(figures.begin(), figures.end(), [](const Figure& figure) { return figure.id == "loss"; });
  ASSERT_NE(loss, figures.end());
  const std::string script = gnuplot_script(*loss, "svg", "loss.svg");
  EXPECT_THAT(script, HasSubstr(" 9.75\n"));                       // the spike is the upper edge of its stretch
  EXPECT_THAT(script, HasSubstr("$curve0 using 1:4 with lines"));  // a line follows the upper edges
  const TemporaryFolder folder;
  draw(*loss, "svg", folder / "loss.svg");
  EXPECT_LT(std::filesystem::file_size(folder / "loss.svg"), 150'000U);  // 1000 points of four curves
}

TEST(Gnuplot, ShowsTextsVerbatim) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  draw(simple_figure(), "svg", folder / "a.svg");
  const std::string texts = texts_of(contents(folder / "a.svg"));
  EXPECT_THAT(texts, HasSubstr("It's a 'title' with {braces}, \\ and $1"));
  EXPECT_THAT(texts, HasSubstr("x_1"));
  EXPECT_THAT(texts, HasSubstr("‖y‖ (nats)"));
  EXPECT_THAT(texts, HasSubstr("a_b^c @d &amp;e"));
}

TEST(Gnuplot, DrawsHeatMapsWithGapsAndSinglePoints) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  Figure map;
  map.id = "map";
  map.heat_map = analysis::HeatMap{"norm", {0, 50, 60}, {0, 1}, {1, 10, 100, 1000, NAN, 0}, true, {}, {}};
  draw(map, "svg", folder / "map.svg");
  EXPECT_THAT(contents(folder / "map.svg"), HasSubstr("</svg>"));
  Figure point = simple_figure();
  point.curves = {{"alone", "#0072B2", {1}, {2}, {1}, {3}}};
  draw(point, "svg", folder / "point.svg");
  EXPECT_THAT(contents(folder / "point.svg"), HasSubstr("</svg>"));
}

TEST(Gnuplot, ReportsThatItIsMissing) {
  const TemporaryFolder folder;
  std::string message;
  {
    const support::ChangedEnvironment nowhere("PATH", folder.path());
    message = support::refusal_of([&] { draw(simple_figure(), "svg", folder / "a.svg"); });
  }
  EXPECT_EQ(message, "gnuplot was not found; install the package gnuplot-nox, or use --csv, which needs none");
  EXPECT_TRUE(folder.names().empty());
}

TEST(Gnuplot, ReplacesNoImageIfItFails) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  std::ofstream(folder / "a.svg") << "old";
  Figure nothing = simple_figure();
  nothing.curves.clear();  // gnuplot has nothing to plot, which is an error
  EXPECT_THROW(draw(nothing, "svg", folder / "a.svg"), std::runtime_error);
  EXPECT_EQ(contents(folder / "a.svg"), "old");
  EXPECT_EQ(folder.names().size(), 1);
}

TEST(Gnuplot, PutsFewRoundNumbersOnLinearAxes) {
  Figure figure = simple_figure();
  figure.curves[0].x = {0, 70, 150};
  figure.curves[0].y = {1.83, 3, 6.4};
  figure.curves[0].low = figure.curves[0].high = {};
  const std::string script = gnuplot_script(figure, "pdf", "a.pdf");
  EXPECT_THAT(script, HasSubstr("set xtics 20\n"));
  EXPECT_THAT(script, HasSubstr("set ytics 1\n"));
}

TEST(Gnuplot, DrawsNamedPlacesOneBelowTheOther) {
  Figure figure = simple_figure();
  figure.x.names = {"one", "two", "three"};
  figure.curves[0].mark = analysis::Mark::points;
  const std::string script = gnuplot_script(figure, "svg", "a.svg");
  EXPECT_THAT(script, HasSubstr("set ytics ('one' 1, 'two' 2, 'three' 3)"));
  EXPECT_THAT(script, HasSubstr("set yrange [3.5:0.5]"));
  EXPECT_THAT(script, HasSubstr("set xlabel '‖y‖ (nats)'"));
  EXPECT_THAT(script, HasSubstr("xerrorbars"));
  EXPECT_THAT(script, HasSubstr("\n1000 3 900 1100\n")) << "the value, its place, and its band";
}

TEST(Gnuplot, MakesRoomForLongLegends) {
  Figure figure = simple_figure();
  EXPECT_THAT(gnuplot_script(figure, "svg", "a.svg"), HasSubstr("svg size 680,460"));
  for (int i = 0; i < 11; ++i) {
    figure.curves.push_back(figure.curves[0]);
    figure.curves.back().label = "a label that leaves no room for a second column of the legend " + std::to_string(i);
  }
  EXPECT_THAT(gnuplot_script(figure, "svg", "a.svg"), HasSubstr("svg size 680,667"));
}

TEST(Gnuplot, PutsTicksOfNarrowLogarithmicAxesAtOneTwoAndFive) {
  Figure figure = simple_figure();
  figure.y.logarithmic = true;
  figure.curves[0].y = {3, 4, 40};
  figure.curves[0].low = figure.curves[0].high = {};
  EXPECT_THAT(gnuplot_script(figure, "svg", "a.svg"), HasSubstr("set ytics ('1' 1, '2' 2, '5' 5, '10' 10, '20' 20"));
  figure.curves[0].y = {1, 10, 1e5};
  EXPECT_THAT(gnuplot_script(figure, "svg", "a.svg"), HasSubstr("set format y '10^{%T}'"));
}

TEST(Gnuplot, PutsMinorTicksBetweenPowersOfTenAtMultiplesOrAtThePowersWithoutALabel) {
  EXPECT_EQ(
      analysis::power_ticks("y", {2, 300}, 8),
      "set format y '10^{%T}'\nset ytics (1e0, '' 2e0 1, '' 3e0 1, '' 4e0 1, '' 5e0 1, '' 6e0 1, '' 7e0 1, '' 8e0 1, "
      "'' 9e0 1, 1e1, '' 2e1 1, '' 3e1 1, '' 4e1 1, '' 5e1 1, '' 6e1 1, '' 7e1 1, '' 8e1 1, '' 9e1 1, 1e2, '' 2e2 1, "
      "'' 3e2 1, '' 4e2 1, '' 5e2 1, '' 6e2 1, '' 7e2 1, '' 8e2 1, '' 9e2 1, 1e3, '' 2e3 1, '' 3e3 1, '' 4e3 1, "
      "'' 5e3 1, '' 6e3 1, '' 7e3 1, '' 8e3 1, '' 9e3 1)\n");
  EXPECT_EQ(analysis::power_ticks("x", {2e-3, 300}, 3),
            "set format x '10^{%T}'\nset xtics ('' 1e-3 1, 1e-2, '' 1e-1 1, 1e0, '' 1e1 1, 1e2, '' 1e3 1)\n");
  EXPECT_EQ(analysis::power_ticks("x", {}, 3), "set format x '10^{%T}'\n") << "without values";
}

TEST(Gnuplot, IgnoresTheUsersSettings) {
  if (!has_gnuplot()) {
    GTEST_SKIP() << "gnuplot is not installed";
  }
  const TemporaryFolder folder;
  draw(simple_figure(), "svg", folder / "plain.svg");
  std::ofstream(folder / ".gnuplot")
      << "set yrange [0:1]\nset logscale x\nset decimalsign ','\nset datafile separator ','\n"
         "set title 'mine'\nset border 0\n";
  const support::ChangedEnvironment home("HOME", folder.path());
  const support::ChangedEnvironment terminal("GNUTERM", "qt");
  draw(simple_figure(), "svg", folder / "same.svg");
  EXPECT_EQ(contents(folder / "same.svg"), contents(folder / "plain.svg"));
}

}  // namespace
}  // namespace hessian::tests
