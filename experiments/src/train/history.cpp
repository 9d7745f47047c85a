#include "train/history.h"

#include <cmath>

#include "program/statistics.h"
#include "run_file/probe_layout.h"
#include "run_file/train_layout.h"

namespace hessian::experiments {
namespace {

/// Returns the sites that a run has probed.
std::vector<std::string> sites_in(const RunFileReader& run) {
  const std::string prefix = probe_layer_path("");
  std::vector<std::string> sites;
  for (const DatasetSpec& dataset : run.datasets()) {
    if (dataset.path.starts_with(prefix)) {
      sites.push_back(dataset.path.substr(prefix.size()));
    }
  }
  return sites;
}

SiteHistory read_site(const RunFileReader& run, const std::string& site, int64_t probe) {
  SiteHistory history{site, run.read<int64_t>(probe_layer_path(site)).values, {}, {}};
  const auto [norms, shape] = run.read_rows<double>(probe_path(site, "spectral_norm"), probe, 1);
  for (auto row = norms.begin(); row != norms.end(); row += shape.at(2)) {
    history.spectral_norm.push_back(median({row, row + shape.at(2)}));
  }
  history.rms = run.read_rows<double>(probe_path(site, "rms"), probe, 1).values;
  return history;
}

std::optional<SharpnessHistory> read_sharpness(const RunFileReader& run, int64_t probe) {
  if (!run.contains(preconditioned_sharpness_group + "/left_out")) {
    return std::nullopt;
  }
  const auto number = [&]<class T>(const std::string& dataset, T /*type*/) {
    return run.read_rows<T>(dataset, probe, 1).values.front();
  };
  SharpnessHistory history;
  history.lambda_max = number(sharpness_group + "/lambda_max", double{});
  history.preconditioned = number(preconditioned_sharpness_group + "/lambda_max", double{});
  history.clip_factor = number(preconditioned_sharpness_group + "/clip_factor", double{});
  history.left_out = number(preconditioned_sharpness_group + "/left_out", int64_t{});
  history.converged =
      number(sharpness_group + "/converged", uint8_t{}) != 0 &&
      (std::isnan(history.preconditioned) || number(preconditioned_sharpness_group + "/converged", uint8_t{}) != 0);
  return history;
}

}  // namespace

std::vector<ProbeHistory> read_probe_history(const RunFileReader& run) {
  std::vector<ProbeHistory> probes;
  if (!run.contains("/probe/step")) {
    return probes;
  }
  const auto sites = sites_in(run);
  const auto steps = run.read<int64_t>("/probe/step").values;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    ProbeHistory probe{steps[i], {}, read_sharpness(run, static_cast<int64_t>(i))};
    for (const std::string& site : sites) {
      probe.sites.push_back(read_site(run, site, static_cast<int64_t>(i)));
    }
    probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace hessian::experiments
