#include "output/gnuplot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <sstream>
#include <stdexcept>

#include "output/gnuplot_axes.h"
#include "program/child_process.h"
#include "run_file/output_file.h"

namespace hessian::analysis {
namespace {

namespace fs = std::filesystem;

/// \param height  relative to the usual height
std::string terminal(const std::string& format, double height) {
  if (format == "svg") {
    return fmt::format("svg size 680,{:.0f} dynamic enhanced font 'sans-serif,15' linewidth 1.2 background '#ffffff'",
                       460 * height);
  }
  if (format == "png") {
    return fmt::format(
        "pngcairo size 1360,{:.0f} enhanced font 'sans-serif,15' fontscale 1.5 linewidth 2.4 pointscale 1.8",
        920 * height);
  }
  // A figure of one column of a two-column page, with type of 8 points.
  return fmt::format(
      "pdfcairo size 3.4in,{:.2f}in enhanced font 'sans-serif,8' fontscale 0.8 linewidth 1.2 pointscale 0.4",
      2.5 * height);
}

/// Returns the figure with named places moved from the x axis to the y axis, which has room for names.
Figure upright(Figure figure) {
  if (!figure.x.names.empty()) {
    std::swap(figure.x, figure.y);
    for (Curve& curve : figure.curves) {
      std::swap(curve.x, curve.y);
    }
  }
  return figure;
}

/// Returns whether the band is drawn as bars: points are not joined, or there is a single one.
bool has_bars(const Curve& curve) {
  return !curve.low.empty() && (curve.mark == Mark::points || curve.x.size() == 1);
}

/// \param floor  lower limit for the low end of the band
std::string data_block(const Curve& curve, std::size_t i, double floor) {
  std::string text = fmt::format("$curve{} << END\n", i);
  for (std::size_t row = 0; row < curve.x.size(); ++row) {
    text += number(curve.x[row]) + " " + number(curve.y[row]);
    if (!curve.low.empty()) {
      text += " " + number(std::max(curve.low[row], floor)) + " " + number(curve.high[row]);
    }
    text += "\n";
  }
  return text + "END\n";
}

std::string style_of(const Curve& curve) {
  const std::string line =
      fmt::format("lc rgb '{}' lw {}{}", curve.color, curve.dashed ? 1.6 : 2.0, curve.dashed ? " dt 2" : "");
  switch (curve.mark) {
    case Mark::line:
      return "with lines " + line;
    case Mark::line_and_points:
      return "with linespoints " + line + " pt 7 ps 0.6";
    case Mark::points:
      return "with points " + line + " pt 7 ps 0.8";
    case Mark::open_points:
      return "with points " + line + " pt 6 ps 1.3";
    case Mark::bounds:
      return fmt::format("with points lc rgb '{}' lw 1 pt 10 ps 0.8", curve.color);
    default:
      return "with points " + line + " pt 2 ps 1";
  }
}

std::string title_of(const Curve& curve) {
  return curve.in_legend ? " title " + quoted(curve.label) + " noenhanced" : " notitle";
}

std::vector<std::string> plots_of(const Figure& figure) {
  std::vector<std::string> bands;
  std::vector<std::string> lines;
  for (std::size_t i = 0; i < figure.curves.size(); ++i) {
    const Curve& curve = figure.curves[i];
    if (has_bars(curve)) {
      bands.push_back(fmt::format("$curve{} using 1:2:3:4 with {}errorbars lc rgb '{}' pt 0 notitle", i,
                                  figure.y.names.empty() ? "y" : "x", curve.color));
    } else if (!curve.low.empty()) {
      bands.push_back(
          fmt::format("$curve{} using 1:3:4 with filledcurves fc rgb '{}' fs transparent solid 0.18 noborder notitle",
                      i, curve.color));
    }
    if (curve.band_edges && !curve.low.empty()) {
      for (const int column : {3, 4}) {
        bands.push_back(
            fmt::format("$curve{} using 1:{} with lines lc rgb '{}' lw 0.5 notitle", i, column, curve.color));
      }
    }
    lines.push_back(fmt::format("$curve{} using 1:2 {}{}", i, style_of(curve), title_of(curve)));
  }
  bands.insert(bands.end(), lines.begin(), lines.end());
  return bands;
}

/// Returns the positions of marks that are distinguishable from their neighbours.
std::vector<double> distinct_marks(std::vector<double> places, bool logarithmic) {
  std::erase_if(places, [](double place) { return !std::isfinite(place); });
  std::sort(places.begin(), places.end());
  if (places.empty() || logarithmic) {
    return places;
  }
  constexpr double resolution = 1e-3;  // of their range
  const double least = resolution * (places.back() - places.front());
  std::vector<double> apart = {places.front()};
  for (const double place : places) {
    if (place > apart.back() && place - apart.back() >= least) {
      apart.push_back(place);
    }
  }
  return apart;
}

std::string curves_script(const Figure& figure) {
  constexpr double no_floor = -std::numeric_limits<double>::infinity();
  const double floor = figure.y.logarithmic ? figure.y.low.value_or(no_floor) : no_floor;
  std::string script;
  for (std::size_t i = 0; i < figure.curves.size(); ++i) {
    script += data_block(figure.curves[i], i, floor);
  }
  for (const VerticalLine& vertical : figure.verticals) {
    script += fmt::format("set arrow from {0}, graph 0 to {0}, graph 1 nohead back lc rgb '{1}' lw 1.4{2}\n",
                          number(vertical.x), vertical.color, vertical.dashed ? " dt 2" : "");
  }
  for (std::size_t i = 0; i < figure.ticks.size(); ++i) {
    // The marks of several runs lie above each other.
    const double bottom = 0.035 * static_cast<double>(i);
    for (const double x : distinct_marks(figure.ticks[i].x, figure.x.logarithmic)) {
      script += fmt::format("set arrow from {0}, graph {1:.3f} to {0}, graph {2:.3f} nohead front lc rgb '{3}' lw 1\n",
                            number(x), bottom, bottom + 0.03, figure.ticks[i].color);
    }
  }
  script += "plot " + fmt::format("{}", fmt::join(plots_of(figure), ", \\\n     ")) + "\n";
  return script;
}

/// Returns the edges of the cells around grid points: midpoints, extrapolated at both ends.
std::vector<double> cell_edges(const std::vector<double>& points) {
  const std::size_t n = points.size();
  std::vector<double> edges(n + 1);
  for (std::size_t i = 1; i < n; ++i) {
    edges[i] = (points[i - 1] + points[i]) / 2;
  }
  constexpr double half_of_one = 0.5;  // a single point has no neighbour, and its cell has width 1
  edges[0] = n > 1 ? 2 * points[0] - edges[1] : points[0] - half_of_one;
  edges[n] = n > 1 ? 2 * points[n - 1] - edges[n - 1] : points[0] + half_of_one;
  return edges;
}

std::string heat_map_script(const HeatMap& map) {
  const std::vector<double> x = cell_edges(map.x);
  const std::vector<double> y = cell_edges(map.y);
  std::string script = "$cells << END\n";
  for (std::size_t row = 0; row < map.y.size(); ++row) {
    for (std::size_t column = 0; column < map.x.size(); ++column) {
      const double value = map.values[row * map.x.size() + column];
      if (std::isfinite(value) && (!map.logarithmic || value > 0)) {
        script += fmt::format("{} {} {} {} {} {} {}\n", number(map.x[column]), number(map.y[row]), number(x[column]),
                              number(x[column + 1]), number(y[row]), number(y[row + 1]), number(value));
      }
    }
  }
  script += "END\nset palette defined (";
  for (std::size_t i = 0; i < heat_colors.size(); ++i) {
    script += fmt::format("{}{} '{}'", i == 0 ? "" : ", ", i, heat_colors[i]);
  }
  script += ")\nset cblabel " + quoted(map.label) + " noenhanced\n";
  if (map.logarithmic) {
    Extent values;
    values.take(map.values, true);
    script +=
        "set logscale cb\n" + power_ticks("cb", {map.low.value_or(values.low), map.high.value_or(values.high)}, 8);
  }
  if (map.low || map.high) {
    script += "set cbrange " + range(map.low, map.high) + "\n";
  }
  script += "unset grid\n";
  script += fmt::format("set xrange [{}:{}]\nset yrange [{}:{}]\n", number(x.front()), number(x.back()),
                        number(y.front()), number(y.back()));
  if (map.y.size() <= 16) {
    script += fmt::format("set ytics {},1\n", number(map.y.front()));
  }
  script += "plot $cells using 1:2:3:4:5:6:7 with boxxyerror fillstyle solid noborder fc palette notitle\n";
  return script;
}

/// Returns the last line that gnuplot printed.
std::string last_message(const fs::path& log) {
  std::ifstream file(log);
  std::string line;
  std::string last;
  while (std::getline(file, line)) {
    if (!line.empty()) {
      last = line;
    }
  }
  return last.empty() ? "no message" : last;
}

/// Environment variables that change what gnuplot draws. Figures depend on the run files alone, so neither these nor the
/// user's start-up file (--default-settings) apply.
const std::vector<std::string> variables_of_gnuplot = {
    "GNUTERM",    "GNUPLOT_LIB",    "GNUPLOT_FONTPATH", "GNUPLOT_DEFAULT_GDFONT",
    "GDFONTPATH", "GNUPLOT_PS_DIR", "GNUPLOT_JS_DIR",   "GNUPLOT_LUA_DIR",
    "LC_ALL",     "LC_NUMERIC"};

}  // namespace

const std::vector<std::string> image_formats = {"svg", "png", "pdf"};

std::string gnuplot_script(const Figure& original, const std::string& format, const fs::path& image) {
  const Figure figure = upright(original);
  // gnuplot takes the characters of an SVG to be wider than they are.
  const std::size_t legend_width = format == "pdf" ? 50 : format == "svg" ? 60 : 70;
  std::string script =
      "set encoding utf8\nset terminal " + terminal(format, relative_height(figure, legend_width)) + "\n";
  script += "set output " + quoted(image.string()) + "\n";
  script += "set datafile missing 'NaN'\n";
  // gnuplot centres its own titles over the axes and cuts them off if long names move the axes to the right.
  script += "set tmargin 3\nset label 1 " + quoted(figure.title) + " at screen 0.5, screen 0.96 center noenhanced\n";
  script += "set border 3 lw 0.8\nset tics nomirror\nset xtics\nset ytics\n";
  script += "set grid xtics ytics lt 1 lc rgb '#d8d8d8' lw 0.5\n";
  script += legend_commands(figure, legend_width);
  script += axis_commands(figure, true) + axis_commands(figure, false);
  return script + (figure.heat_map ? heat_map_script(*figure.heat_map) : curves_script(figure));
}

void draw(const Figure& figure, const std::string& format, const fs::path& image) {
  experiments::AtomicFile output(image);
  const experiments::AtomicFile script(image.string() + ".gnuplot");
  const experiments::AtomicFile log(image.string() + ".log");
  std::ofstream(script.path()) << gnuplot_script(figure, format, output.path());
  experiments::ChildProcess gnuplot({"gnuplot", "--default-settings", script.path().string()}, log.path(),
                                    variables_of_gnuplot);
  const int status = gnuplot.wait();
  if (status == 127) {
    throw std::runtime_error("gnuplot was not found; install the package gnuplot-nox, or use --csv, which needs none");
  }
  if (status != 0 || fs::file_size(output.path()) == 0) {
    throw std::runtime_error(image.string() + ": gnuplot could not draw it: " + last_message(log.path()));
  }
  output.commit();
}

}  // namespace hessian::analysis
