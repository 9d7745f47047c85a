#include "reproduction/placed_runs.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace hessian::analysis {

std::vector<PlacedRun> placed_runs(const ReproducedSweep& planned, Section& section) {
  std::vector<PlacedRun> runs;
  const auto sweep = read_part(planned.file, section);
  if (!sweep || !sweep->sweep) {
    return runs;
  }
  for (std::size_t i = 0; i < sweep->sweep->model.size(); ++i) {
    if (sweep->sweep->status[i] == "pending") {
      continue;
    }
    if (auto run = read_part(planned.file.parent_path() / sweep->sweep->run_file[i], section)) {
      runs.push_back({placement_of(sweep->sweep->model[i]), sweep->sweep->seed[i], std::move(*run)});
    }
  }
  return runs;
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
