#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hessian/run_file.h"

namespace hessian::experiments {

/// A probed site and its rows.
struct ProbedSite {
  std::string name;             ///< `residual`, `attn_in`, `attn_proj_in`, `ffn_in` or `ffn_down_in`
  std::vector<int64_t> layers;  ///< block index of each row; its length is N
};

struct ProbeLayoutOptions {
  std::vector<ProbedSite> sites;
  int64_t sequences = 1;        ///< S
  int64_t probes = 1;           ///< P at creation; 0 where probes are appended during training
  bool check = false;           ///< adds /probe/SITE/check_relative_difference
  bool plan = false;            ///< adds /plan: the memory and time that were planned, and the time that it took
  bool token_position = false;  ///< adds /probe/token_position, for a Hessian of one position of each sequence
};

/// `/probe/SITE/QUANTITY`, the path of a quantity of a site.
std::string probe_path(const std::string& site, const std::string& quantity);

/// `/probe/layer/SITE`, the path of the block indices of a site's rows.
std::string probe_layer_path(const std::string& site);

/// Every dataset of a probe, as the table of docs/file-format.md has them.
///
/// \throws std::invalid_argument  if a site is named twice or badly, has no rows, or a size is out of range
std::vector<DatasetSpec> probe_datasets(const ProbeLayoutOptions& options);

/// Writes what the layout itself decides: the block indices of each site's rows.
void write_probe_layers(RunFileWriter& writer, const ProbeLayoutOptions& options);

}  // namespace hessian::experiments
