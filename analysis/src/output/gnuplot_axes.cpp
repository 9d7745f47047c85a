#include "output/gnuplot_axes.h"

#include <fmt/format.h>

#include <algorithm>

namespace hessian::analysis {
namespace {

/// Places ticks at powers of ten or, if the axis spans few of them, at 1, 2 and 5 times powers of ten.
std::string logarithmic_ticks(const std::string& axis, const Extent& extent, int max_ticks) {
  if (!(extent.high > 0) || std::log10(extent.high / extent.low) > 2) {
    return power_ticks(axis, extent, max_ticks);
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

/// Places at most `max` ticks on a linear axis, 1, 2 or 5 times a power of ten apart. gnuplot places too many for a small
/// image.
std::string linear_ticks(const std::string& axis, double low, double high, double max) {
  if (!(high > low)) {
    return "";
  }
  const double least = (high - low) / max;
  const double power = std::pow(10, std::floor(std::log10(least)));
  double step = 10 * power;
  for (const double times : {5.0, 2.0, 1.0}) {
    step = times * power >= least ? times * power : step;
  }
  return fmt::format("set {}tics {:g}\n", axis, step);
}

/// Writes names along the y axis, from top to bottom.
std::string named_axis(const std::vector<std::string>& names) {
  std::string places;
  for (std::size_t i = 0; i < names.size(); ++i) {
    places += (i == 0 ? "" : ", ") + quoted(names[i]) + " " + std::to_string(i + 1);
  }
  return "unset ylabel\nset ytics (" + places + ") noenhanced\nset yrange [" +
         number(static_cast<double>(names.size()) + 0.5) + ":0.5]\n";
}

Extent extent_of(const Figure& figure, bool of_x) {
  const bool positive = (of_x ? figure.x : figure.y).logarithmic;
  Extent extent;
  for (const Curve& curve : figure.curves) {
    extent.take(of_x ? curve.x : curve.y, positive);
    const bool band_of_x = !figure.y.names.empty();
    if (of_x == band_of_x) {
      extent.take(curve.low, positive);
      extent.take(curve.high, positive);
    }
  }
  return extent;
}

/// Columns and rows of the legend; 0 without a legend.
struct LegendShape {
  std::size_t columns = 0;
  std::size_t rows = 0;
};

LegendShape legend_shape(const Figure& figure, std::size_t characters_of_width) {
  constexpr std::size_t characters_of_sample = 7;
  std::size_t name = 0;
  for (const std::string& text : figure.y.names) {
    name = std::max(name, text.size());
  }
  const std::size_t width = characters_of_width - std::min(name, characters_of_width);
  std::size_t longest = 0;
  std::size_t entries = 0;
  for (const Curve& curve : figure.curves) {
    if (curve.in_legend) {
      longest = std::max(longest, curve.label.size());
      ++entries;
    }
  }
  if (entries == 0) {
    return {};
  }
  const std::size_t columns = std::clamp<std::size_t>(width / (longest + characters_of_sample), 1, entries);
  return {columns, (entries + columns - 1) / columns};
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

void Extent::take(const std::vector<double>& values, bool positive) {
  for (const double value : values) {
    if (std::isfinite(value) && (!positive || value > 0)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  }
}

std::string power_ticks(const std::string& axis, const Extent& extent, int max_ticks) {
  std::string format = fmt::format("set format {} '10^{{%T}}'\n", axis);
  if (!(extent.low > 0) || !std::isfinite(extent.high)) {
    return format;
  }
  const auto first = static_cast<int>(std::floor(std::log10(extent.low)));
  const auto last = static_cast<int>(std::ceil(std::log10(extent.high)));
  const int step = std::max(1, (last - first + max_ticks - 1) / max_ticks);
  std::string places;
  for (int power = first; power <= last; ++power) {
    // Minor ticks are the powers between labelled ones or, if all are labelled, their multiples.
    const bool labelled = power % step == 0;
    const std::string separator = places.empty() ? "" : ", ";
    places += separator + (labelled ? fmt::format("1e{}", power) : fmt::format("'' 1e{} 1", power));
    for (int times = 2; step == 1 && times < 10; ++times) {
      places += fmt::format(", '' {}e{} 1", times, power);
    }
  }
  return format + fmt::format("set {}tics ({})\n", axis, places);
}

std::string axis_commands(const Figure& figure, bool of_x) {
  const Axis& axis = of_x ? figure.x : figure.y;
  const std::string name = of_x ? "x" : "y";
  std::string commands = "set " + name + "label " + quoted(axis.label) + " noenhanced\n";
  if (!axis.names.empty()) {
    return named_axis(axis.names);
  }
  if (axis.logarithmic) {
    commands += "set logscale " + name + "\n" +
                // Numbers need more room next to each other than above each other.
                logarithmic_ticks(name, extent_of(figure, of_x), figure.y.names.empty() ? 8 : 3);
  }
  if (axis.whole) {
    const Extent extent = extent_of(figure, of_x);
    constexpr double max_ticks = 20;
    if (extent.high - extent.low <= max_ticks) {
      commands += fmt::format("set {}tics {},1\n", name, number(extent.low));
    }
  }
  std::optional<double> low = axis.low;
  std::optional<double> high = axis.high;
  if (!axis.logarithmic && !axis.whole) {
    const Extent extent = extent_of(figure, of_x);
    commands += linear_ticks(name, low.value_or(extent.low), high.value_or(extent.high), of_x ? 8 : 6);
  }
  if (const Extent extent = extent_of(figure, of_x); axis.logarithmic && extent.low <= extent.high) {
    // Without a range gnuplot extends the axis to the next power of ten.
    constexpr double margin = 1.3;
    low = low.value_or(extent.low / margin);
    high = high.value_or(extent.high * margin);
  }
  if (low || high) {
    commands += "set " + name + "range " + range(low, high) + "\n";
  }
  return commands;
}

std::string legend_commands(const Figure& figure, std::size_t characters_of_width) {
  const LegendShape shape = legend_shape(figure, characters_of_width);
  if (shape.rows == 0) {
    return "unset key\n";
  }
  return fmt::format(
      "set bmargin {:.1f}\nset key at screen 0.5, screen 0.01 center bottom horizontal maxcols {} Left reverse "
      "noenhanced samplen 2\n",
      4.2 + 1.2 * static_cast<double>(shape.rows), shape.columns);
}

double relative_height(const Figure& figure, std::size_t characters_of_width) {
  constexpr double line = 0.045;  // of the usual height
  const std::size_t rows = legend_shape(figure, characters_of_width).rows;
  const std::size_t names = figure.y.names.size();
  return 1 + line * (static_cast<double>(rows > 2 ? rows - 2 : 0) + static_cast<double>(names > 6 ? names - 6 : 0));
}

}  // namespace hessian::analysis
