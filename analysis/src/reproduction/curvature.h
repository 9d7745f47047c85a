#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "content/run_content.h"
#include "figures/figure.h"
#include "reproduction/reproduction.h"

namespace hessian::analysis {

class SpreadCurve;

/// A run with its placement and seed.
struct PlacedRun {
  std::string placement;
  int64_t seed = 0;
  RunContent content;
};

/// The runs of one family, every site probed along training.
struct FamilyRuns {
  std::string family;
  std::vector<PlacedRun> runs;
};

/// The results that sections (b) and (c) show, read once.
struct CurvatureResults {
  std::vector<FamilyRuns> families;
  std::vector<std::string> warnings;  ///< files that are missing, unreadable or not finished, a line each
};

/// Reads the runs of these sweeps that have started.
CurvatureResults read_curvature(const std::vector<ReproducedSweep>& sweeps);

/// Returns the probes of a site, nullptr if the run has none yet.
const SiteProbes* site_named(const RunContent& run, const std::string& name);

/// Appends a curve for each placement, whose points `fill` collects from its runs.
void add_placements(const std::vector<PlacedRun>& runs,
                    const std::function<void(const RunContent&, SpreadCurve&)>& fill, Figure& figure);

}  // namespace hessian::analysis
