#include "train/train.h"

#include <ATen/Parallel.h>

#include "distributed/job.h"
#include "train/existing_run.h"
#include "train/training_run.h"

namespace hessian::experiments {

std::filesystem::path run_file_in(const std::filesystem::path& folder) {
  return folder / "run.h5";
}

TrainReport run_training(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress) {
  if (options.config.threads > 0) {
    at::set_num_threads(static_cast<int>(options.config.threads));
  }
  const Job job({.device = options.config.device, .device_option = "device"});
  std::optional<TrainReport> finished;
  if (job.group.is_first()) {
    finished = find_finished_run(options);
  }
  if (job.group.any(finished.has_value())) {
    return finished.value_or(TrainReport{});
  }
  return TrainingRun(options, job.device, job.group).run_to_end(job.memory, progress);
}

}  // namespace hessian::experiments
