#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// Measurements at one site in one probe of a training run.
struct SiteHistory {
  std::string site;
  std::vector<int64_t> layers;
  std::vector<double> spectral_norm;  ///< per layer; median over sequences
  std::vector<double> rms;            ///< per layer, of the activation
};

/// One probe of a training run.
struct ProbeHistory {
  int64_t step = 0;
  std::vector<SiteHistory> sites;
};

/// Reads all probes of a run file in the order in which they were made.
std::vector<ProbeHistory> read_probe_history(const RunFileReader& run);

}  // namespace hessian::experiments
