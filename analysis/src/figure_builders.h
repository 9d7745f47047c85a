#pragma once

#include <string>
#include <vector>

#include "analysis/figure.h"
#include "analysis/run_content.h"

namespace analysis {

/// Some runs with their labels, which are as many.
struct LabelledRuns {
  const std::vector<RunContent>& runs;
  const std::vector<std::string>& labels;

  /// What the i-th run is drawn with in every figure.
  [[nodiscard]] std::string color(std::size_t i) const { return color_of(i, runs.size()); }
};

/// Spectral norms and activation scales, by layer and along training.
std::vector<Figure> probe_figures(const LabelledRuns& input);

/// Losses, gradient norms, learning rates, and both kinds of sharpness with their thresholds.
std::vector<Figure> training_figures(const LabelledRuns& input);

/// Final losses against learning rates, with the rates that curvature allows.
std::vector<Figure> sweep_figures(const LabelledRuns& input);

std::vector<Figure> density_figures(const LabelledRuns& input);

}  // namespace analysis
