#include "train/train.h"

#include <ATen/Parallel.h>

#include "config/device_option.h"
#include "distributed/process_group.h"
#include "hessian/memory.h"
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
  const hessian::MemoryScope memory;
  const JobPlace place = job_place();
  const at::Device device = choose_device(options.config.device, "device", place);
  const ProcessGroup group = ProcessGroup::join(place, device);
  std::optional<TrainReport> finished;
  if (group.is_first()) {
    finished = find_finished_run(options);
  }
  if (group.any(finished.has_value())) {
    return finished.value_or(TrainReport{});
  }
  return TrainingRun(options, device, group).run_to_end(memory, progress);
}

}  // namespace hessian::experiments
