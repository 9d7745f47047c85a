#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "figures/figure_builders.h"

namespace hessian::analysis {

/// A run's probes of a site, and what the run is called and drawn with.
struct LabelledSite {
  const SiteProbes* probes;
  std::string label;
  std::string color;
};

/// All runs that probed a site and have written a probe.
std::vector<LabelledSite> sites_named(const LabelledRuns& input, const std::string& site);

/// Every site of any run, in the order in which a block has them.
std::vector<std::string> site_names(const LabelledRuns& input);

std::vector<double> as_numbers(const std::vector<int64_t>& values);

/// RMS and other scales of the activations at a site, by block and along training.
std::vector<Figure> scale_figures(const std::string& name, const std::vector<LabelledSite>& sites);

}  // namespace hessian::analysis
