#include "figures/labelled_sites.h"

#include <algorithm>
#include <set>

namespace hessian::analysis {

std::vector<LabelledSite> sites_named(const LabelledRuns& input, const std::string& site) {
  std::vector<LabelledSite> found;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const SiteProbes& probes : input.runs[i].sites) {
      if (probes.site == site && !probes.steps.empty()) {
        found.push_back({&probes, input.labels[i], input.color(i)});
      }
    }
  }
  return found;
}

std::vector<std::string> site_names(const LabelledRuns& input) {
  static const std::vector<std::string> order = {"residual", "attn_in", "attn_proj_in", "ffn_in", "ffn_down_in"};
  std::set<std::string> names;
  for (const RunContent& run : input.runs) {
    for (const SiteProbes& site : run.sites) {
      names.insert(site.site);
    }
  }
  std::vector<std::string> sorted;
  for (const std::string& name : order) {
    if (names.erase(name) > 0) {
      sorted.push_back(name);
    }
  }
  sorted.insert(sorted.end(), names.begin(), names.end());
  return sorted;
}

std::vector<double> as_numbers(const std::vector<int64_t>& values) {
  return {values.begin(), values.end()};
}

}  // namespace hessian::analysis
