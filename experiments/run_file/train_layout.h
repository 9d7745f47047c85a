#pragma once

// Lists the datasets of a training run, and counts the rows that belong to its first steps.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "run_file/probe_layout.h"

namespace hessian::experiments {

struct TrainLayoutOptions {
  std::vector<std::string> update_groups;  ///< tensor groups with update and parameter RMS; empty for none
  ProbeLayoutOptions probe;                ///< has no sites if the run makes no probes
  bool sharpness = false;                  ///< whether each probe also measures the sharpness
};

/// Returns every dataset of a training run, as listed in docs/file-format.md.
std::vector<DatasetSpec> train_datasets(const TrainLayoutOptions& options);

/// Returns, for each dataset to which rows are appended, how many rows were written up to and including a step.
std::map<std::string, int64_t> rows_until(const std::vector<DatasetSpec>& datasets, const RunFileReader& run,
                                          int64_t step);

/// Groups of the bare and the preconditioned sharpness. Each has lambda_max, lambda_max_upper, residual_norm, iterations and
/// converged, [P]; the preconditioned one also clip_factor and left_out.
inline const std::string sharpness_group = "/probe/sharpness";
inline const std::string preconditioned_sharpness_group = "/probe/preconditioned_sharpness";

}  // namespace hessian::experiments
