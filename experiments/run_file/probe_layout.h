#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// A probed site and its rows, one per layer.
struct ProbedSite {
  std::string name;             ///< `residual`, `attn_in`, `attn_proj_in`, `ffn_in` or `ffn_down_in`
  std::vector<int64_t> layers;  ///< layer of each row; its length is N
};

struct ProbeLayoutOptions {
  std::vector<ProbedSite> sites;
  int64_t sequences = 1;        ///< S
  int64_t probes = 1;           ///< P when the file is created; 0 if probes are appended during training
  bool check = false;           ///< adds /probe/SITE/check_relative_difference and check_precision_difference
  bool plan = false;            ///< adds /plan: planned memory and time, and elapsed time
  bool both_ends = false;       ///< adds bounds of each end, in addition to that of the norm
  double certify = 0;           ///< recorded with the bounds: their largest distance, relative to the norm
  double confidence = 0;        ///< recorded with the bounds: probability with which they all hold
  bool token_position = false;  ///< adds /probe/token_position, for Hessians of one position per sequence
};

/// Returns `/probe/SITE/QUANTITY`, the path of a quantity of a site.
std::string probe_path(const std::string& site, const std::string& quantity);

/// Returns `/probe/layer/SITE`, the path of the layers of a site's rows.
std::string probe_layer_path(const std::string& site);

/// Returns every dataset of a probe, as listed in docs/file-format.md.
///
/// \throws std::invalid_argument  if a site name is repeated or malformed, a site has no rows, or a size is out of
///                                range
std::vector<DatasetSpec> probe_datasets(const ProbeLayoutOptions& options);

/// Writes the layers of each site's rows, which the layout determines.
void write_probe_layers(RunFileWriter& writer, const ProbeLayoutOptions& options);

}  // namespace hessian::experiments
