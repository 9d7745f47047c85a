#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "figures/figure_builders.h"

namespace hessian::analysis {

/// The probes of a site in one run, with the run's label and colour.
struct LabelledSite {
  const SiteProbes* probes;
  std::string label;
  std::string color;
};

/// Returns the runs that have written a probe of this site.
std::vector<LabelledSite> sites_named(const LabelledRuns& input, const std::string& site);

/// Returns the sites of all runs, in the order in which a layer has them.
std::vector<std::string> site_names(const LabelledRuns& input);

std::vector<double> as_numbers(const std::vector<int64_t>& values);

/// Draws RMS and other scales of the activations at a site, by layer and along training.
std::vector<Figure> scale_figures(const std::string& name, const std::vector<LabelledSite>& sites);

}  // namespace hessian::analysis
