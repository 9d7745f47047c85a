#include "figures/figure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <set>

namespace hessian::analysis {
namespace {

constexpr std::array<const char*, max_categories> categorical_colors = {"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                                        "#E69F00", "#56B4E9", "#7F7F7F"};

struct Rgb {
  double red;
  double green;
  double blue;
};

Rgb parse(const std::string& color) {
  const auto channel = [&color](std::size_t start) {
    return static_cast<double>(std::stoi(color.substr(start, 2), nullptr, 16));
  };
  return {channel(1), channel(3), channel(5)};
}

std::string hex_of(const Rgb& color) {
  std::array<char, 8> text{};
  const auto whole = [](double channel) { return static_cast<unsigned>(std::lround(channel)); };
  std::snprintf(text.data(), text.size(), "#%02x%02x%02x", whole(color.red), whole(color.green), whole(color.blue));
  return text.data();
}

}  // namespace

const std::vector<std::string> heat_colors = {"#440154", "#482878", "#3e4989", "#31688e", "#26828e",
                                              "#1f9e89", "#35b779", "#6ece58", "#b5de2b", "#fde725"};

std::string categorical_color(std::size_t i) {
  return categorical_colors.at(i % categorical_colors.size());
}

std::string sequential_color(std::size_t i, std::size_t n) {
  // From the third colour of the map to the middle between its eighth and ninth.
  const double place = n > 1 ? 2 + 5.5 * static_cast<double>(i) / static_cast<double>(n - 1) : 2;
  const auto below = static_cast<std::size_t>(place);
  const double share = place - static_cast<double>(below);
  const Rgb from = parse(heat_colors[below]);
  const Rgb to = parse(heat_colors[below + 1]);
  const auto mixed = [share](double a, double b) { return a + share * (b - a); };
  return hex_of({mixed(from.red, to.red), mixed(from.green, to.green), mixed(from.blue, to.blue)});
}

std::string color_of(std::size_t i, std::size_t n) {
  return n <= max_categories ? categorical_color(i) : sequential_color(i, n);
}

void thin_legend(Figure& figure) {
  constexpr std::size_t max_names = 12;
  std::vector<Curve*> named;
  for (Curve& curve : figure.curves) {
    if (curve.in_legend) {
      named.push_back(&curve);
    }
  }
  if (named.size() <= max_names) {
    return;
  }
  for (Curve* curve : named) {
    curve->in_legend = false;
  }
  for (const std::size_t place : spread_over(named.size(), max_names)) {
    named[place]->in_legend = true;
  }
  figure.caption += (figure.caption.empty() ? "" : " ") + std::to_string(named.size()) +
                    " curves, from dark to light; the legend names some of them.";
}

std::vector<std::size_t> spread_over(std::size_t n, std::size_t max) {
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < std::min(n, max); ++i) {
    places.insert(max == 1 ? n - 1 : i * (n - 1) / (std::min(n, max) - (n > 1 ? 1 : 0)));
  }
  return {places.begin(), places.end()};
}

bool spans_decades(const std::vector<double>& values) {
  double smallest = INFINITY;
  double largest = 0;
  for (const double value : values) {
    if (std::isfinite(value)) {
      if (value <= 0) {
        return false;
      }
      smallest = std::min(smallest, value);
      largest = std::max(largest, value);
    }
  }
  return largest > 30 * smallest;
}

void add_point(Curve& curve, double x, const Summary& summary) {
  curve.x.push_back(x);
  curve.y.push_back(summary.median);
  curve.low.push_back(summary.low);
  curve.high.push_back(summary.high);
}

bool has_points(const Figure& figure) {
  const auto is_finite = [](double value) { return std::isfinite(value); };
  if (figure.heat_map) {
    return std::any_of(figure.heat_map->values.begin(), figure.heat_map->values.end(), is_finite);
  }
  return std::any_of(figure.curves.begin(), figure.curves.end(),
                     [&](const Curve& curve) { return std::any_of(curve.y.begin(), curve.y.end(), is_finite); });
}

void choose_y_scale(Figure& figure) {
  std::vector<double> all;
  for (const Curve& curve : figure.curves) {
    for (const auto* const values : {&curve.y, &curve.low, &curve.high}) {
      all.insert(all.end(), values->begin(), values->end());
    }
  }
  figure.y.logarithmic = spans_decades(all);
}

}  // namespace hessian::analysis
