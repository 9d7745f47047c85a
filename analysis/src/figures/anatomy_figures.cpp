#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "content/anatomy_maps.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

/// A quantity of linear maps to draw.
struct Quantity {
  const char* id;
  const char* title;
  const char* label;
  MapQuantity of_map;
};

const std::vector<Quantity> quantities = {
    {"anatomy-gain", "Gain term Jᵀ H_zz J of H_xx", "‖Jᵀ H_zz J‖₂ (nats)", gain_of_map},
    {"anatomy-curvature", "Curvature term C of H_xx", "‖C‖₂ (nats)", curvature_of_map},
    {"anatomy-ratio", "Curvature term over gain term", "‖C‖₂ / ‖Jᵀ H_zz J‖₂", ratio_of_map},
    {"anatomy-cosine", "Alignment of gain and curvature", "|cosine| of dominant eigenvectors", cosine_of_map},
};

const char* const bare_maps = " Maps that no norm follows have C = 0 and are left out.";

void warn_of_unconverged(const LabelledRuns& input, Figure& figure) {
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    if (!input.runs[i].anatomy) {
      continue;
    }
    if (const int64_t open = input.runs[i].anatomy->unconverged(); open > 0) {
      figure.warnings.push_back(input.labels[i] + ": at " + std::to_string(open) + " of " +
                                std::to_string(input.runs[i].anatomy->converged.size()) +
                                " maps and sequences an estimate did not reach its tolerance");
    }
  }
}

/// Returns a quantity of one map by layer: median and range over sequences.
Curve curve_of(const Anatomy& anatomy, const std::string& map, const MapQuantity& quantity) {
  Curve curve;
  curve.mark = Mark::line_and_points;
  for (const std::size_t row : rows_of_map(anatomy, map)) {
    const Summary summary = summarise(quantity(anatomy, row));
    if (std::isfinite(summary.median)) {
      add_point(curve, static_cast<double>(anatomy.layer[row]), summary);
    }
  }
  return curve;
}

/// Returns a quantity by layer: median over the maps of the layer, and their range.
Curve curve_of_all(const Anatomy& anatomy, const MapQuantity& quantity) {
  Curve curve;
  curve.mark = Mark::line_and_points;
  for (const int64_t layer : layers_of(anatomy)) {
    std::vector<double> values;
    for (std::size_t row = 0; row < anatomy.map.size(); ++row) {
      if (anatomy.layer[row] == layer) {
        values.push_back(summarise(quantity(anatomy, row)).median);
      }
    }
    const Summary summary = summarise(values);
    if (std::isfinite(summary.median)) {
      add_point(curve, static_cast<double>(layer), summary);
    }
  }
  return curve;
}

Figure by_layer(const std::string& id, const std::string& title, const std::string& label) {
  Figure figure;
  figure.id = id;
  figure.title = title;
  figure.x.label = "layer";
  figure.x.whole = true;
  figure.y.label = label;
  return figure;
}

void finish(const LabelledRuns& input, Figure figure, std::vector<Figure>& figures) {
  if (figure.curves.empty()) {
    return;
  }
  choose_y_scale(figure);
  warn_of_unconverged(input, figure);
  figures.push_back(std::move(figure));
}

/// Draws each quantity of one run with a curve per map.
void add_quantities(const LabelledRuns& input, const Anatomy& anatomy, std::vector<Figure>& figures) {
  const std::vector<std::string> maps = matched_maps({&anatomy});
  for (const Quantity& quantity : quantities) {
    Figure figure = by_layer(quantity.id, quantity.title, quantity.label);
    figure.caption = "Median over " + std::to_string(anatomy.sequences) + " sequences; the band is their range.";
    figure.caption += quantity.of_map == gain_of_map ? "" : bare_maps;
    for (std::size_t i = 0; i < maps.size(); ++i) {
      Curve curve = curve_of(anatomy, maps[i], quantity.of_map);
      curve.label = maps[i];
      curve.color = color_of(i, maps.size());
      if (!curve.x.empty()) {
        figure.curves.push_back(std::move(curve));
      }
    }
    finish(input, std::move(figure), figures);
  }
}

/// Compares several runs: both terms at each map, and the dimensionless quantities over all maps of a layer.
void add_comparisons(const LabelledRuns& input, const std::vector<const Anatomy*>& anatomies,
                     std::vector<Figure>& figures) {
  for (const std::string& map : matched_maps(anatomies)) {
    Figure figure = by_layer("anatomy-terms-" + map, "Both terms of H_xx: " + map, "spectral norm (nats)");
    figure.caption =
        "Solid: the gain term Jᵀ H_zz J; dashed: the curvature term C, where a norm follows the map. Median over "
        "sequences; the band is their range.";
    for (std::size_t i = 0; i < anatomies.size(); ++i) {
      for (const bool gain : {true, false}) {
        if (anatomies[i] == nullptr) {
          continue;
        }
        Curve curve = curve_of(*anatomies[i], map, gain ? gain_of_map : curvature_of_map);
        curve.label = input.labels[i] + (gain ? "" : ", C");
        curve.in_legend = gain;
        curve.dashed = !gain;
        curve.color = input.color(i);
        if (!curve.x.empty()) {
          figure.curves.push_back(std::move(curve));
        }
      }
    }
    finish(input, std::move(figure), figures);
  }
  for (const Quantity& quantity : quantities) {
    if (quantity.of_map != ratio_of_map && quantity.of_map != cosine_of_map) {
      continue;
    }
    Figure figure = by_layer(quantity.id, quantity.title, quantity.label);
    figure.caption =
        "Median over the maps of a layer of their medians over sequences; the band is the range over the maps.";
    figure.caption += bare_maps;
    for (std::size_t i = 0; i < anatomies.size(); ++i) {
      Curve curve = anatomies[i] == nullptr ? Curve() : curve_of_all(*anatomies[i], quantity.of_map);
      curve.label = input.labels[i];
      curve.color = input.color(i);
      if (!curve.x.empty()) {
        figure.curves.push_back(std::move(curve));
      }
    }
    finish(input, std::move(figure), figures);
  }
}

}  // namespace

std::vector<Figure> anatomy_figures(const LabelledRuns& input) {
  std::vector<const Anatomy*> anatomies;
  for (const RunContent& run : input.runs) {
    anatomies.push_back(run.anatomy ? &*run.anatomy : nullptr);
  }
  const auto count =
      anatomies.size() - static_cast<std::size_t>(std::count(anatomies.begin(), anatomies.end(), nullptr));
  std::vector<Figure> figures;
  if (count == 1) {
    add_quantities(
        input, **std::find_if(anatomies.begin(), anatomies.end(), [](const auto* a) { return a != nullptr; }), figures);
  } else if (count > 1) {
    add_comparisons(input, anatomies, figures);
  }
  return figures;
}

}  // namespace hessian::analysis
