#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// One site at one probe of a training run.
struct SiteHistory {
  std::string site;
  std::vector<int64_t> layers;
  std::vector<double> spectral_norm;  ///< median over sequences, for each layer
  std::vector<double> rms;            ///< of the activation, for each layer
};

struct ProbeHistory {
  int64_t step = 0;
  std::vector<SiteHistory> sites;
};

/// Every probe of a run file, in the order in which they were made; empty where there are none.
std::vector<ProbeHistory> read_probe_history(const RunFileReader& run);

}  // namespace hessian::experiments
