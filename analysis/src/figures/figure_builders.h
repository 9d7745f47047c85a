#pragma once

#include <string>
#include <vector>

#include "content/run_content.h"
#include "figures/figure.h"

namespace hessian::analysis {

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

/// Spectral densities, one by one and by block.
std::vector<Figure> density_figures(const LabelledRuns& input);

/// Eigenvalues at both ends of spectra by their rank.
std::vector<Figure> eigenvalue_figures(const LabelledRuns& input);

/// Traces, Frobenius norms and effective ranks by block.
std::vector<Figure> estimate_figures(const LabelledRuns& input);

/// Both terms of H_xx at linear maps.
std::vector<Figure> anatomy_figures(const LabelledRuns& input);

/// End of the id of the i-th of n figures of one kind.
std::string numbered(std::size_t i, std::size_t n);

/// ` (nats)`, or nothing for what has no unit.
std::string units_suffix(const std::string& units);

}  // namespace hessian::analysis
