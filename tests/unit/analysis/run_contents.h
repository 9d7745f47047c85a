#pragma once

#include <string>
#include <utility>
#include <vector>

#include "content/run_content.h"

namespace hessian::tests {

/// Returns a finished run without contents.
inline analysis::RunContent empty_run(const std::string& path, const std::string& config) {
  analysis::RunContent run;
  run.path = path;
  run.info.program = "hessian-train";
  run.info.config = config;
  run.finished = true;
  return run;
}

/// Returns a site of two layers, two sequences and a probe per step. The norms are 1, 2, 3, ... in the order of the
/// file; all estimates have converged.
inline analysis::SiteProbes counting_site(const std::string& name, const std::vector<int64_t>& steps) {
  analysis::SiteProbes site;
  site.site = name;
  site.layers = {0, 1};
  site.steps = steps;
  site.sequences = 2;
  for (std::size_t i = 0; i < 4 * steps.size(); ++i) {
    site.spectral_norm.push_back(static_cast<double>(i + 1));
    site.converged.push_back(1);
  }
  site.lambda_max = site.lambda_min = site.residual_norm = site.spectral_norm;
  for (std::size_t i = 0; i < 2 * steps.size(); ++i) {
    site.rms.push_back(static_cast<double>(10 * (i + 1)));
  }
  site.abs_max = site.abs_mean = site.feature_outlier = site.rms;
  return site;
}

}  // namespace hessian::tests
