#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "content/layer_groups.h"
#include "content/summary.h"
#include "figures/figure_builders.h"
#include "figures/group_figures.h"

namespace hessian::analysis {
namespace {

constexpr double tail = 1e-6;  // share of the largest density below which only the smoothing's tails remain

/// Describes what a smooth curve is computed from: samples and Lanczos steps, their resolution, and the smoothing.
std::string provenance(const DensityCurve& density) {
  std::string text;
  if (density.samples > 0 && !density.ritz_values.empty()) {
    text = fmt::format("{} random samples of {} Lanczos steps, which resolve the inner spectrum to", density.samples,
                       density.steps);
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

Curve curve_of(const DensityCurve& density) {
  Curve curve;
  curve.x = density.grid;
  curve.y = density.density;
  for (std::size_t i = 0; i < density.density_error.size(); ++i) {
    curve.low.push_back(density.density[i] - density.density_error[i]);
    curve.high.push_back(density.density[i] + density.density_error[i]);
  }
  return curve;
}

/// Makes the y axis logarithmic and starts it at the density below which only the smoothing's tails remain.
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

/// Draws one group of all runs that have it.
Figure density_of_group(const std::string& name, const LabelledRuns& input) {
  Figure figure;
  figure.id = "density-" + file_part(name);
  figure.title = "Spectral density: " + name;
  figure.y.label = "density (share of eigenvalues per unit)";
  std::vector<std::string> sources;
  bool has_band = false;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const DensityCurve& density : input.runs[i].densities) {
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
        sources.push_back((input.runs.size() > 1 ? input.labels[i] + ": " : "") + text + ". ");
      }
    }
  }
  constexpr std::size_t max_sources = 4;  // the report's tables list all of them
  if (sources.size() <= max_sources) {
    figure.caption = fmt::format("{}", fmt::join(sources, ""));
  }
  figure.caption += has_band ? "Band: standard error over samples. Marks on the axis: Ritz values."
                             : "Marks on the axis: Ritz values.";
  cut_tails(figure);
  return figure;
}

double largest_magnitude(const std::vector<double>& values) {
  const Summary range = summarise(values);
  return std::max(std::abs(range.low), std::abs(range.high));
}

/// Draws the layers of a kind in one run, each divided by its largest magnitude: their scales differ by more than one
/// axis can show, and their shapes are to be compared.
Figure densities_by_layer(const std::string& kind, const LayerGroups<DensityCurve>& layers) {
  Figure figure;
  figure.title = "Spectral densities by layer: " + kind;
  figure.x.label = "eigenvalue / largest |Ritz value| of the layer";
  figure.y.label = "density";
  std::size_t drawn = 0;
  for (const auto& [layer, density] : layers) {
    Curve curve = curve_of(*density);
    curve.color = sequential_color(drawn++, layers.size());
    const double scale = largest_magnitude(density->ritz_values);
    const std::string units = density->units == "1" || density->units.empty() ? "" : " " + density->units;
    curve.label = fmt::format("layer {}: 1 = {:.1e}{}", layer, scale, units);
    if (scale > 0) {
      const auto multiply = [](std::vector<double>& values, double factor) {
        std::for_each(values.begin(), values.end(), [factor](double& value) { value *= factor; });
      };
      multiply(curve.x, 1 / scale);
      multiply(curve.y, scale);
      curve.low.clear();
      curve.high.clear();
      figure.curves.push_back(std::move(curve));
    }
  }
  figure.caption =
      "Eigenvalues of each layer divided by its largest magnitude, which the legend gives. The figures of single "
      "layers "
      "show error bands.";
  cut_tails(figure);
  return figure;
}

}  // namespace

std::vector<Figure> density_figures(const LabelledRuns& input) {
  return group_figures<DensityCurve>(
      input, {"density", [](const RunContent& run) { return run.densities; },
              [](const std::string& kind, const LayerGroups<DensityCurve>& layers, const std::string& /*run_label*/) {
                return densities_by_layer(kind, layers);
              },
              [&input](const std::string& name) { return density_of_group(name, input); }});
}

}  // namespace hessian::analysis
