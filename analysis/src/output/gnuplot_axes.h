#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "figures/figure.h"

namespace hessian::analysis {

/// Quotes a text for gnuplot, in single quotes, which suppress all special characters.
std::string quoted(const std::string& text);

/// Formats a number for gnuplot.
std::string number(double value);

/// Formats a range as `[low:high]`, with `*` for an absent end.
std::string range(const std::optional<double>& low, const std::optional<double>& high);

/// The range of the finite values of an axis, or only of the positive ones if it is logarithmic.
struct Extent {
  double low = INFINITY;
  double high = -INFINITY;

  void take(const std::vector<double>& values, bool positive);
};

/// Returns the commands for ticks at powers of ten, at most `max_ticks` of them labelled. gnuplot's own minor ticks are wrong
/// where labels are more than one decade apart.
std::string power_ticks(const std::string& axis, const Extent& extent, int max_ticks);

/// Returns the commands for label, scale, ticks and range of an axis.
std::string axis_commands(const Figure& figure, bool of_x);

/// Returns the commands for a legend below the figure, in as many columns as fit, and for a margin that its rows need,
/// since gnuplot lets them overlap the axis.
/// \param characters_of_width  width between the axes, which limits the legend, in characters
std::string legend_commands(const Figure& figure, std::size_t characters_of_width);

/// Returns the height of an image relative to the usual one: larger if the legend or the names need room.
double relative_height(const Figure& figure, std::size_t characters_of_width);

}  // namespace hessian::analysis
