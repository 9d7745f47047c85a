#pragma once

#include <cstdint>
#include <optional>
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

/// Both kinds of sharpness in one probe of a training run; NaN and -1 where there is no preconditioner.
struct SharpnessHistory {
  double lambda_max = 0;      ///< of the parameter Hessian, nats
  double preconditioned = 0;  ///< lambda_max of c P^-1/2 H P^-1/2, nats
  double clip_factor = 0;     ///< c
  int64_t left_out = 0;       ///< coordinates that no update has moved
  bool converged = false;     ///< whether both have
};

/// One probe of a training run.
struct ProbeHistory {
  int64_t step = 0;
  std::vector<SiteHistory> sites;
  std::optional<SharpnessHistory> sharpness = {};
};

/// Reads all probes of a run file in the order in which they were made.
std::vector<ProbeHistory> read_probe_history(const RunFileReader& run);

}  // namespace hessian::experiments
