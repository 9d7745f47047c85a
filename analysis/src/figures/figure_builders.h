#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "figures/figure.h"

namespace hessian::analysis {

/// Runs with their labels, one per run.
struct LabelledRuns {
  const std::vector<RunContent>& runs;
  const std::vector<std::string>& labels;

  /// Returns the colour of run i, the same in every figure.
  [[nodiscard]] std::string color(std::size_t i) const { return color_of(i, runs.size()); }
};

/// Draws spectral norms and activation scales, by layer and along training.
std::vector<Figure> probe_figures(const LabelledRuns& input);

/// Draws losses, gradient norms, learning rates, and both kinds of sharpness with their thresholds.
std::vector<Figure> training_figures(const LabelledRuns& input);

/// Draws final losses against learning rates, with the rates that curvature allows.
std::vector<Figure> sweep_figures(const LabelledRuns& input);

/// Draws spectral densities, one by one and by layer.
std::vector<Figure> density_figures(const LabelledRuns& input);

/// Draws the eigenvalues at both ends of spectra by rank.
std::vector<Figure> eigenvalue_figures(const LabelledRuns& input);

/// Draws traces, Frobenius norms and effective ranks by layer.
std::vector<Figure> estimate_figures(const LabelledRuns& input);

/// Draws both terms of H_xx at linear maps.
std::vector<Figure> anatomy_figures(const LabelledRuns& input);

/// Returns the suffix of the id of figure i among n of one kind, such as `-2`; empty if n is 1.
std::string numbered(std::size_t i, std::size_t n);

/// Formats a unit as the end of a label, such as ` (nats)`; empty for quantities without a unit.
std::string units_suffix(const std::string& units);

}  // namespace hessian::analysis
