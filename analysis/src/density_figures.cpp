#include <algorithm>
#include <set>
#include <string>

#include "figure_builders.h"

namespace analysis {

std::vector<Figure> density_figures(const LabelledRuns& input) {
  std::set<std::string> names;
  for (const RunContent& run : input.runs) {
    for (const SpectralDensity& density : run.densities) {
      names.insert(density.name);
    }
  }
  std::vector<Figure> figures;
  for (const std::string& name : names) {
    Figure figure;
    figure.id = "density-" + name;
    std::replace(figure.id.begin(), figure.id.end(), '/', '-');
    figure.title = "Spectral density: " + name;
    figure.caption = "Strokes on the axis: Ritz values.";
    figure.x.label = "eigenvalue (nats)";
    figure.y.label = "density";
    figure.y.logarithmic = true;
    double highest = 0;
    for (std::size_t i = 0; i < input.runs.size(); ++i) {
      for (const SpectralDensity& density : input.runs[i].densities) {
        if (density.name == name) {
          Curve curve;
          curve.label = input.labels[i];
          curve.in_legend = input.runs.size() > 1;
          curve.color = input.color(i);
          curve.x = density.grid;
          curve.y = density.density;
          highest = curve.y.empty() ? highest : std::max(highest, *std::max_element(curve.y.begin(), curve.y.end()));
          figure.curves.push_back(std::move(curve));
          figure.ticks.push_back({"Ritz values", input.color(i), density.ritz_values});
        }
      }
    }
    if (highest > 0) {
      figure.y.low = 1e-6 * highest;  // what lies below is the tail of the smoothing
    }
    figures.push_back(std::move(figure));
  }
  return figures;
}

}  // namespace analysis
