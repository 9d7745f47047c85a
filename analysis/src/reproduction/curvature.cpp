#include "reproduction/curvature.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "reproduction/sections.h"

namespace hessian::analysis {
namespace {

std::vector<PlacedRun> read_runs(const std::filesystem::path& file, std::vector<std::string>& warnings) {
  std::vector<PlacedRun> runs;
  const auto sweep = read_or_warn(file, warnings);
  if (!sweep || !sweep->sweep) {
    return runs;
  }
  const SweepRuns& rows = *sweep->sweep;
  for (std::size_t i = 0; i < rows.model.size(); ++i) {
    if (rows.status[i] == "pending") {
      continue;
    }
    if (auto run = read_or_warn(file.parent_path() / rows.run_file[i], warnings)) {
      runs.push_back({placement_of(rows.model[i]), rows.seed[i], std::move(*run)});
    }
  }
  return runs;
}

}  // namespace

CurvatureResults read_curvature(const std::vector<ReproducedSweep>& sweeps) {
  CurvatureResults results;
  for (const ReproducedSweep& sweep : sweeps) {
    results.families.push_back({sweep.family, read_runs(sweep.file, results.warnings)});
  }
  return results;
}

const SiteProbes* site_named(const RunContent& run, const std::string& name) {
  const auto found = std::find_if(run.sites.begin(), run.sites.end(),
                                  [&name](const SiteProbes& site) { return site.site == name && !site.steps.empty(); });
  return found == run.sites.end() ? nullptr : &*found;
}

void add_placements(const std::vector<PlacedRun>& runs,
                    const std::function<void(const RunContent&, SpreadCurve&)>& fill, Figure& figure) {
  for (const std::string& placement : compared_placements) {
    SpreadCurve spread;
    for (const PlacedRun& run : runs) {
      if (run.placement == placement) {
        fill(run.content, spread);
      }
    }
    if (!spread.empty()) {
      figure.curves.push_back(spread.curve(placement_name(placement), placement_color(placement)));
    }
  }
}

}  // namespace hessian::analysis
