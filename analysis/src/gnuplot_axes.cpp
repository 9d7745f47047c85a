#include "gnuplot_axes.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace analysis {
namespace {

/// The extent of the finite values of an axis; positive ones alone where it is logarithmic.
struct Extent {
  double low = INFINITY;
  double high = -INFINITY;
  void take(const std::vector<double>& values, bool positive) {
    for (const double value : values) {
      if (std::isfinite(value) && (!positive || value > 0)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
    }
  }
};

/// Numbers at powers of ten where there are enough of them, at 1, 2 and 5 times them where there are not.
std::string logarithmic_ticks(const std::string& axis, const Extent& extent) {
  const double decades = std::log10(extent.high / extent.low);
  if (decades > 2 || !(extent.high > 0)) {
    return fmt::format("set format {} '10^{{%T}}'\n", axis);
  }
  std::string places;
  for (double power = std::pow(10, std::floor(std::log10(extent.low))); power <= extent.high; power *= 10) {
    for (const double times : {1.0, 2.0, 5.0}) {
      const double place = times * power;
      places += fmt::format("{}'{:g}' {:g}", places.empty() ? "" : ", ", place, place);
    }
  }
  return fmt::format("set {}tics ({})\n", axis, places);
}

std::string named_ticks(const std::vector<std::string>& names) {
  std::string places;
  for (std::size_t i = 0; i < names.size(); ++i) {
    places += (i == 0 ? "" : ", ") + quoted(names[i]) + " " + std::to_string(i + 1);
  }
  const std::string turned = names.size() > 3 ? " rotate by -20 left" : "";
  return "set xtics (" + places + ")" + turned + " noenhanced\n";
}

Extent extent_of(const Figure& figure, bool of_x) {
  const bool positive = (of_x ? figure.x : figure.y).logarithmic;
  Extent extent;
  for (const Curve& curve : figure.curves) {
    extent.take(of_x ? curve.x : curve.y, positive);
    if (!of_x) {
      extent.take(curve.low, positive);
      extent.take(curve.high, positive);
    }
  }
  return extent;
}

}  // namespace

std::string quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) {
    // A line break would end the command.
    result += c == '\'' ? "''" : std::string(1, c == '\n' ? ' ' : c);
  }
  return result + "'";
}

std::string number(double value) {
  return std::isfinite(value) ? fmt::format("{:.9g}", value) : "NaN";
}

std::string range(const std::optional<double>& low, const std::optional<double>& high) {
  return "[" + (low ? number(*low) : "*") + ":" + (high ? number(*high) : "*") + "]";
}

std::string axis_commands(const Figure& figure, bool of_x) {
  const Axis& axis = of_x ? figure.x : figure.y;
  const std::string name = of_x ? "x" : "y";
  std::string commands = "set " + name + "label " + quoted(axis.label) + " noenhanced\n";
  if (!axis.names.empty()) {
    commands += named_ticks(axis.names);
  }
  if (axis.logarithmic) {
    commands += "set logscale " + name + "\n" + logarithmic_ticks(name, extent_of(figure, of_x));
  }
  if (axis.whole) {
    const Extent extent = extent_of(figure, of_x);
    constexpr double most_ticks = 20;
    if (extent.high - extent.low <= most_ticks) {
      commands += fmt::format("set {}tics {},1\n", name, number(extent.low));
    }
  }
  std::optional<double> low = axis.low;
  std::optional<double> high = axis.high;
  if (const Extent extent = extent_of(figure, of_x); axis.logarithmic && extent.low <= extent.high) {
    // Or else gnuplot goes on to the next power of ten.
    constexpr double margin = 1.3;
    low = low.value_or(extent.low / margin);
    high = high.value_or(extent.high * margin);
  }
  if (low || high) {
    commands += "set " + name + "range " + range(low, high) + "\n";
  }
  return commands;
}

std::string legend_commands(const Figure& figure) {
  constexpr std::size_t characters_of_width = 84;
  constexpr std::size_t characters_of_sample = 7;
  std::size_t longest = 0;
  std::size_t entries = 0;
  for (const Curve& curve : figure.curves) {
    if (curve.in_legend) {
      longest = std::max(longest, curve.label.size());
      ++entries;
    }
  }
  if (entries == 0) {
    return "unset key\n";
  }
  const std::size_t columns =
      std::clamp<std::size_t>(characters_of_width / (longest + characters_of_sample), 1, entries);
  const std::size_t rows = (entries + columns - 1) / columns;
  const double names_of_places = figure.x.names.size() > 3 ? 3 : 0;  // they are turned
  return fmt::format(
      "set bmargin {:.1f}\nset key at screen 0.5, screen 0.01 center bottom horizontal maxcols {} Left reverse "
      "noenhanced samplen 2\n",
      4.2 + names_of_places + 1.35 * static_cast<double>(rows), columns);
}

}  // namespace analysis
