#pragma once

#include <functional>
#include <string>
#include <vector>

#include "reproduction/parts.h"

namespace hessian::analysis {

/// A run, with its placement and seed.
struct PlacedRun {
  std::string placement;
  int64_t seed = 0;
  RunContent content;
};

/// The runs of a sweep that have begun; what is missing becomes a warning.
std::vector<PlacedRun> placed_runs(const ReproducedSweep& planned, Section& section);

/// The probes of a site, if there are any yet.
const SiteProbes* site_named(const RunContent& run, const std::string& name);

/// A curve for each placement, of what `fill` takes from its runs.
void add_placements(const std::vector<PlacedRun>& runs,
                    const std::function<void(const RunContent&, SpreadCurve&)>& fill, Figure& figure);

}  // namespace hessian::analysis
