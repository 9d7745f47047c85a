#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "content/summary.h"

namespace hessian::analysis {

/// An axis: what it shows, with its unit, and its scale. Where an end is absent it is chosen from the data.
struct Axis {
  std::string label;
  bool logarithmic = false;
  bool whole = false;  ///< ticks at whole numbers only, each of them where there are few
  std::optional<double> low;
  std::optional<double> high;
  std::vector<std::string> names;  ///< of an x axis: of the places 1, 2, ... instead of numbers; it is drawn upright
};

enum class Mark { line, points, line_and_points, open_points, crosses };

/// Points (x, y), NaN where one is missing, and a band around them.
struct Curve {
  std::string label;
  std::string color;         ///< as `#0072B2`
  std::vector<double> x;     ///< [n]
  std::vector<double> y;     ///< [n]
  std::vector<double> low;   ///< [n], or empty where there is no band
  std::vector<double> high;  ///< as low
  bool band_edges = false;   ///< lines along the band, where a single value far from the others must not be missed
  Mark mark = Mark::line;
  bool dashed = false;
  bool in_legend = true;
};

/// A straight line across the figure, at one x. The caption says what it is; its label stands in tables alone.
struct VerticalLine {
  std::string label;
  std::string color;
  double x = 0;
  bool dashed = false;
};

/// Short strokes on the x axis.
struct Ticks {
  std::string label;
  std::string color;
  std::vector<double> x;
};

/// Numbers over a grid, as colours.
struct HeatMap {
  std::string label;           ///< what the colours show, with its unit
  std::vector<double> x;       ///< [X], ascending
  std::vector<double> y;       ///< [Y], ascending
  std::vector<double> values;  ///< [Y, X], NaN where one is missing
  bool logarithmic = false;
  std::optional<double> low;  ///< of the colours; where an end is absent it is chosen from the values
  std::optional<double> high;
};

/// A drawing, before anything is drawn: what every output (images, CSV, HTML) is made of.
struct Figure {
  std::string id;  ///< file name without its ending, such as `spectral-norm-residual`
  std::string title;
  std::string caption;  ///< a sentence or two on what is drawn
  Axis x;
  Axis y;
  std::vector<Curve> curves;
  std::vector<VerticalLine> verticals;
  std::vector<Ticks> ticks;
  std::optional<HeatMap> heat_map;
  std::vector<std::string> warnings;  ///< what a reader must know not to be misled
};

/// Whether positive numbers span more than a decade and a half, so that a logarithmic axis serves them.
bool spans_decades(const std::vector<double>& values);

/// Appends a point with its band to a curve: median and range.
void add_point(Curve& curve, double x, const Summary& summary);

/// Whether there is a finite point to be drawn.
bool has_points(const Figure& figure);

/// Makes the y axis logarithmic where the curves span decades.
void choose_y_scale(Figure& figure);

/// Colour of the i-th of several things: one of seven that people with any form of colour blindness tell apart.
/// Source: Okabe & Ito (2008), Color Universal Design, without black and yellow, which a dark or a light page swallows.
std::string categorical_color(std::size_t i);

/// Colour of the i-th of n things in an order, from dark blue to yellow-green.
/// Source: viridis, by Smith & van der Walt (2015), without its ends, which a dark or a light page swallows.
std::string sequential_color(std::size_t i, std::size_t n);

/// So many things are told apart by colours without an order.
inline constexpr std::size_t most_kinds = 7;

/// Colour of the i-th of n things: told apart by kind while they are few, and by order where they are many.
std::string color_of(std::size_t i, std::size_t n);

/// Leaves names in the legend for some of the curves alone where they are too many to read, and says so.
void thin_legend(Figure& figure);

/// Some of n places in a row, the first and the last among them.
std::vector<std::size_t> spread_over(std::size_t n, std::size_t most);

/// The colours that heat maps are drawn with, evenly spaced; viridis as above, whole.
extern const std::vector<std::string> heat_colors;

}  // namespace hessian::analysis
