#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "content/summary.h"

namespace hessian::analysis {

/// An axis: its label with the unit, and its scale. Absent ends are chosen from the data.
struct Axis {
  std::string label;
  bool logarithmic = false;
  bool whole = false;  ///< ticks at whole numbers only, at each one if there are few
  std::optional<double> low;
  std::optional<double> high;
  std::vector<std::string> names;  ///< names instead of the numbers 1, 2, ... on an x axis, which is drawn vertically
};

enum class Mark { line, points, line_and_points, open_points, crosses, bounds };

/// Points (x, y) and a band around them. Missing points are NaN.
struct Curve {
  std::string label;
  std::string color;         ///< as `#0072B2`
  std::vector<double> x;     ///< [n]
  std::vector<double> y;     ///< [n]
  std::vector<double> low;   ///< [n], or empty for no band
  std::vector<double> high;  ///< as low
  std::vector<double> recorded =
      {};                   ///< [n]: the values of points that are drawn elsewhere, for CSV; empty if y has them
  bool band_edges = false;  ///< outlines the band, so that a single outlying value is seen
  Mark mark = Mark::line;
  bool dashed = false;
  bool in_legend = true;
};

/// A vertical line across the figure. The caption explains it; its label appears in CSV only.
struct VerticalLine {
  std::string label;
  std::string color;
  double x = 0;
  bool dashed = false;
};

/// Short marks on the x axis.
struct Ticks {
  std::string label;
  std::string color;
  std::vector<double> x;
};

/// Values over a grid, drawn as colours.
struct HeatMap {
  std::string label;           ///< the quantity with its unit
  std::vector<double> x;       ///< [X], ascending
  std::vector<double> y;       ///< [Y], ascending
  std::vector<double> values;  ///< [Y, X], NaN for missing ones
  bool logarithmic = false;
  std::optional<double> low;  ///< ends of the colour scale; absent ones are chosen from the values
  std::optional<double> high;
};

/// A figure independent of its output format: images, CSV and HTML are made from it.
struct Figure {
  std::string id;  ///< file name without its ending, such as `spectral-norm-residual`
  std::string title;
  std::string caption;  ///< one or two sentences on what is drawn
  Axis x;
  Axis y;
  std::vector<Curve> curves;
  std::vector<VerticalLine> verticals;
  std::vector<Ticks> ticks;
  std::optional<HeatMap> heat_map;
  std::vector<std::string> warnings;  ///< limits of the data that a reader must know
};

/// Returns whether the values are positive and span more than a decade and a half, which a logarithmic axis suits.
bool spans_decades(const std::vector<double>& values);

/// Appends a point to a curve: the median, with the range as its band.
void add_point(Curve& curve, double x, const Summary& summary);

/// Returns whether the figure has a finite point.
bool has_points(const Figure& figure);

/// Makes the y axis logarithmic if the curves span decades.
void choose_y_scale(Figure& figure);

/// Returns the colour of category i: one of seven that are distinguishable with any form of colour blindness.
/// Source: Okabe & Ito (2008), Color Universal Design, without black and yellow, which a dark or a light page hides.
std::string categorical_color(std::size_t i);

/// Returns the colour of item i of an ordered series of n, from dark blue to yellow-green.
/// Source: viridis, by Smith & van der Walt (2015), without its ends, which a dark or a light page hides.
std::string sequential_color(std::size_t i, std::size_t n);

/// Largest number of series drawn in categorical colours.
inline constexpr std::size_t max_categories = 7;

/// Returns the colour of series i of n: categorical up to max_categories, sequential beyond.
std::string color_of(std::size_t i, std::size_t n);

/// Names only some of the curves in the legend if they are too many to read; the caption then says so.
void thin_legend(Figure& figure);

/// Returns at most `max` of the indices 0 ... n-1, evenly spread, including the first and the last.
std::vector<std::size_t> spread_over(std::size_t n, std::size_t max);

/// The colours of heat maps, evenly spaced: all of viridis.
extern const std::vector<std::string> heat_colors;

}  // namespace hessian::analysis
