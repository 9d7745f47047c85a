#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "figures/figure.h"

namespace hessian::analysis {

/// A text in gnuplot's single quotes, in which nothing but the quote itself has a meaning.
std::string quoted(const std::string& text);

/// A number as gnuplot reads it.
std::string number(double value);

/// `[low:high]`, with a star for an end that is absent.
std::string range(const std::optional<double>& low, const std::optional<double>& high);

/// Label, scale, ticks and range of an axis.
std::string axis_commands(const Figure& figure, bool of_x);

/// The legend below the figure, in as many columns as fit, with as much room as its rows need: gnuplot does not keep it
/// off the axis by itself.
/// \param characters_of_width  as gnuplot counts them: a legend is no wider than what the axes enclose
std::string legend_commands(const Figure& figure, std::size_t characters_of_width);

/// Height of an image over the usual one: more where a legend or names need room.
double relative_height(const Figure& figure, std::size_t characters_of_width);

}  // namespace hessian::analysis
