#include "run_file/train_layout.h"

#include <algorithm>

namespace hessian::experiments {
namespace {

void add_updates(std::vector<DatasetSpec>& datasets, const std::vector<std::string>& groups) {
  const auto count = static_cast<int64_t>(groups.size());
  std::size_t longest = 1;
  for (const std::string& group : groups) {
    longest = std::max(longest, group.size());
  }
  datasets.push_back({"/train/update_step", ElementType::int64, {0}, "steps", "step of each row of update RMS"});
  datasets.push_back(
      {"/train/update_rms", ElementType::float64, {0, count}, "1", "RMS of the update of each tensor group"});
  datasets.push_back(
      {"/train/parameter_rms", ElementType::float64, {0, count}, "1", "RMS of each tensor group before the update"});
  datasets.push_back({"/train/update_group",
                      ElementType::text,
                      {count},
                      "1",
                      "tensor group: a parameter's name without its layer",
                      static_cast<int64_t>(longest)});
}

void add_sharpness(std::vector<DatasetSpec>& datasets, const ProbeLayoutOptions& options, const std::string& group,
                   const std::string& what) {
  datasets.push_back({group + "/lambda_max", ElementType::float64, {0}, "nats", what});
  datasets.push_back({group + "/lambda_max_upper", ElementType::float64, {0}, "nats", "upper bound of lambda_max"});
  datasets.back().numbers = {{"certify", options.certify}, {"confidence", options.confidence}};
  datasets.push_back({group + "/residual_norm", ElementType::float64, {0}, "nats", "residual norm ||H v - lambda v||"});
  datasets.push_back({group + "/iterations", ElementType::int32, {0}, "products", "Hessian-vector products used"});
  datasets.push_back({group + "/converged",
                      ElementType::uint8,
                      {0},
                      "1",
                      "1 where the residual and the upper bound are within their tolerances"});
}

/// Returns the dataset that holds the step of each row of another dataset.
std::string step_dataset(const std::string& path) {
  if (path.starts_with("/probe/")) {
    return "/probe/step";
  }
  if (path.starts_with("/train/val_")) {
    return "/train/val_step";
  }
  if (path.starts_with("/train/update_") || path == "/train/parameter_rms") {
    return "/train/update_step";
  }
  return "/train/step";
}

}  // namespace

std::vector<DatasetSpec> train_datasets(const TrainLayoutOptions& options) {
  std::vector<DatasetSpec> datasets = {
      {"/train/step", ElementType::int64, {0}, "steps", "update, counted from 1"},
      {"/train/tokens", ElementType::int64, {0}, "tokens", "tokens seen up to and including the step"},
      {"/train/loss", ElementType::float64, {0}, "nats", "mean cross-entropy of the step's tokens, before its update"},
      {"/train/lr", ElementType::float64, {0}, "1", "learning rate of the update"},
      {"/train/grad_norm", ElementType::float64, {0}, "1", "global norm of the gradient before clipping"},
      {"/train/step_seconds", ElementType::float64, {0}, "s", "time of the step"},
      {"/train/tokens_per_second", ElementType::float64, {0}, "1/s", "tokens of the step over its time"},
      {"/train/val_step", ElementType::int64, {0}, "steps", "updates done at each validation"},
      {"/train/val_loss", ElementType::float64, {0}, "nats", "mean cross-entropy of the held-out sequences"},
  };
  if (!options.update_groups.empty()) {
    add_updates(datasets, options.update_groups);
  }
  if (!options.probe.sites.empty()) {
    const auto probe = probe_datasets(options.probe);
    datasets.insert(datasets.end(), probe.begin(), probe.end());
    if (options.sharpness) {
      add_sharpness(datasets, options.probe, sharpness_group, "largest eigenvalue of the parameter Hessian");
      add_sharpness(datasets, options.probe, preconditioned_sharpness_group,
                    "largest eigenvalue of the parameter Hessian preconditioned by Adam's diagonal");
      datasets.push_back({preconditioned_sharpness_group + "/clip_factor",
                          ElementType::float64,
                          {0},
                          "1",
                          "mean factor by which gradients were clipped over the updates that the diagonal remembers"});
      datasets.push_back({preconditioned_sharpness_group + "/left_out",
                          ElementType::int64,
                          {0},
                          "1",
                          "coordinates that no update has moved, which are left out"});
    }
  }
  return datasets;
}

std::map<std::string, int64_t> rows_until(const std::vector<DatasetSpec>& datasets, const RunFileReader& run,
                                          int64_t step) {
  std::map<std::string, int64_t> rows;
  for (const DatasetSpec& dataset : datasets) {
    if (dataset.shape.front() == 0) {
      const auto steps = run.read<int64_t>(step_dataset(dataset.path)).values;
      // A killed writer may have extended the dataset by rows that it never wrote; those read as -1.
      const auto end = std::find_if(steps.begin(), steps.end(), [step](int64_t row) { return row < 0 || row > step; });
      rows[dataset.path] = end - steps.begin();
    }
  }
  return rows;
}

}  // namespace hessian::experiments
