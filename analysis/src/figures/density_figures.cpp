#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>
#include <utility>

#include "content/block_groups.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

constexpr double tail = 1e-6;  // of the largest density: what lies below is the tail of the smoothing

/// What a smooth curve hides: how few products it stands on, how wide its Gaussians are, and what it cannot resolve.
std::string provenance(const SpectralDensity& density) {
  std::string text;
  if (density.probes > 0) {
    text = fmt::format("{} random probes of {} Lanczos steps, which resolve the inner spectrum no finer than",
                       density.probes, density.steps);
    const Summary range = summarise(density.ritz_values);
    text += fmt::format(" about {:.1e}", (range.high - range.low) * M_PI / (2 * static_cast<double>(density.steps)));
  }
  if (std::isfinite(density.width)) {
    text += fmt::format("{}each Ritz value is drawn as a Gaussian of standard deviation {:.1e}",
                        text.empty() ? "" : "; ", density.width);
  }
  if (std::isfinite(density.mass_near_zero)) {
    text += fmt::format("{}share of eigenvalues with |λ| ≤ {:.1e}: {:.3f} ± {:.3f}", text.empty() ? "" : "; ",
                        density.zero_threshold, density.mass_near_zero, density.mass_near_zero_error);
  }
  return text;
}

Curve curve_of(const SpectralDensity& density) {
  Curve curve;
  curve.x = density.grid;
  curve.y = density.density;
  for (std::size_t i = 0; i < density.density_error.size(); ++i) {
    curve.low.push_back(density.density[i] - density.density_error[i]);
    curve.high.push_back(density.density[i] + density.density_error[i]);
  }
  return curve;
}

/// Cuts the axis where the smoothing's tails begin.
void cut_tails(Figure& figure) {
  double highest = 0;
  for (const Curve& curve : figure.curves) {
    highest = std::max(highest, summarise(curve.y).high);
  }
  figure.y.logarithmic = true;
  if (highest > 0) {
    figure.y.low = tail * highest;
  }
}

/// One group of all runs that have it.
Figure density_of_group(const std::string& name, const LabelledRuns& input) {
  Figure figure;
  figure.id = "density-" + file_part(name);
  figure.title = "Spectral density: " + name;
  figure.y.label = "density (share of eigenvalues a unit)";
  std::vector<std::string> said;
  bool has_band = false;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const SpectralDensity& density : input.runs[i].densities) {
      if (density.name != name) {
        continue;
      }
      Curve curve = curve_of(density);
      curve.label = input.labels[i];
      curve.in_legend = input.runs.size() > 1;
      curve.color = input.color(i);
      has_band = has_band || !curve.low.empty();
      figure.x.label = "eigenvalue" + units_suffix(density.units);
      figure.curves.push_back(std::move(curve));
      figure.ticks.push_back({"Ritz values", input.color(i), density.ritz_values});
      if (const std::string text = provenance(density); !text.empty()) {
        said.push_back((input.runs.size() > 1 ? input.labels[i] + ": " : "") + text + ". ");
      }
    }
  }
  constexpr std::size_t most_said = 4;  // the report's tables have all of them
  if (said.size() <= most_said) {
    figure.caption = fmt::format("{}", fmt::join(said, ""));
  }
  figure.caption += has_band ? "Band: standard error over probes. Strokes on the axis: Ritz values."
                             : "Strokes on the axis: Ritz values.";
  cut_tails(figure);
  return figure;
}

double largest_magnitude(const std::vector<double>& values) {
  const Summary range = summarise(values);
  return std::max(std::abs(range.low), std::abs(range.high));
}

/// The blocks of a kind in one run, each over its largest magnitude: their scales are apart by more than an axis can
/// hold, and what is to be compared is their shape.
Figure density_of_kind(const std::string& kind, const std::map<int64_t, const SpectralDensity*>& blocks) {
  Figure figure;
  figure.title = "Spectral densities by block: " + kind;
  figure.x.label = "eigenvalue / largest |Ritz value| of the block";
  figure.y.label = "density";
  std::size_t place = 0;
  for (const auto& [block, density] : blocks) {
    Curve curve = curve_of(*density);
    curve.color = sequential_color(place++, blocks.size());
    const double scale = largest_magnitude(density->ritz_values);
    const std::string units = density->units == "1" || density->units.empty() ? "" : " " + density->units;
    curve.label = fmt::format("block {}: 1 = {:.1e}{}", block, scale, units);
    if (scale > 0) {
      const auto times = [](std::vector<double>& values, double factor) {
        std::for_each(values.begin(), values.end(), [factor](double& value) { value *= factor; });
      };
      times(curve.x, 1 / scale);
      times(curve.y, scale);
      curve.low.clear();
      curve.high.clear();
      figure.curves.push_back(std::move(curve));
    }
  }
  figure.caption =
      "Each block over its largest magnitude, which the legend gives; the figures of single blocks have bands and what "
      "they stand on.";
  cut_tails(figure);
  return figure;
}

}  // namespace

std::vector<Figure> density_figures(const LabelledRuns& input) {
  std::set<std::string> names;
  std::vector<std::pair<std::size_t, std::string>> shared;  // run and kind
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const SpectralDensity& density : input.runs[i].densities) {
      names.insert(density.name);
    }
    for (const auto& [kind, blocks] : by_kind_and_block(input.runs[i].densities)) {
      if (blocks.size() > 1) {
        shared.emplace_back(i, kind);
      }
    }
  }
  std::vector<Figure> figures;
  constexpr std::size_t most_runs = 12;  // more cannot be compared by eye
  for (const auto& [run, kind] : shared) {
    if (input.runs.size() <= most_runs) {
      Figure figure = density_of_kind(kind, by_kind_and_block(input.runs[run].densities).at(kind));
      figure.id = "density-by-block-" + file_part(kind) + numbered(run, input.runs.size());
      if (input.runs.size() > 1) {
        figure.caption = input.labels[run] + ": " + figure.caption;
      }
      figures.push_back(std::move(figure));
    }
  }
  for (const std::string& name : names) {
    figures.push_back(density_of_group(name, input));
  }
  return figures;
}

}  // namespace hessian::analysis
