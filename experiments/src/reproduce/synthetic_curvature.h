#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// Map from an activation x to the input z of the synthetic experiment's loss.
enum class SyntheticMap {
  linear,      ///< z = W x
  rms_before,  ///< z = W (sqrt(d) x / ||x||), as at the input of a PreNorm sublayer
  simple,      ///< z = sqrt(d) W x / ||W x||, SimpleNorm with gain 1
};

/// Options for measuring the curvature of f(x) = 1/2 z^T A z for random maps. A = diag(a) is fixed: H_zz does not
/// depend on W, so that ||H_xx|| shows the effect of the map alone.
///
/// W is Gaussian, scaled to a given spectral norm; a is uniform over +-[0.5, 1]; x is Gaussian with ||x|| = sqrt(d).
struct SyntheticOptions {
  std::vector<double> norms;  ///< ||W|| to measure at width `width`
  int64_t width = 256;
  std::vector<int64_t> widths;  ///< d to measure at ||W|| = 1
  int64_t seeds = 3;
};

/// Measurement of one map at one norm, width and seed.
struct SyntheticRow {
  SyntheticMap map = SyntheticMap::linear;
  int64_t width = 0;
  double weight_norm = 0;  ///< ||W||_2, as measured
  int64_t seed = 0;
  double spectral_norm = 0;  ///< ||H_xx||_2
  double residual_norm = 0;
  bool converged = false;
};

/// Returns `linear`, `rmsnorm before` or `simplenorm`.
const char* to_string(SyntheticMap map);

/// Measures every map at every norm, width and seed, in float64.
/// \param progress  called after every measurement
/// Cost: some tens of products with W per measurement, O(d^2) each.
/// Source: arXiv 2602.01212, section on H_xx of linear maps and SimpleNorm.
std::vector<SyntheticRow> synthetic_curvature(const SyntheticOptions& options,
                                              const std::function<void(int64_t done, int64_t total)>& progress);

/// Writes the measurements to /synthetic of a run file.
void write_synthetic(const std::filesystem::path& path, const RunInfo& info, const std::vector<SyntheticRow>& rows);

}  // namespace hessian::experiments
