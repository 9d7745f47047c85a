#include "distributed/job.h"

#include "config/device_option.h"
#include "run_file/output_file.h"

namespace hessian::experiments {
namespace {

/// Joins the other processes, after the first one has checked the output.
ProcessGroup join(const JobOptions& options, const JobPlace& place, at::Device device) {
  if (place.is_first() && !options.output.empty()) {
    ensure_writable_output(options.output, options.overwrite);
  }
  return ProcessGroup::join(place, device);
}

}  // namespace

Job::Job(const JobOptions& options)
    : place(job_place()),
      device(choose_device(options.device, options.device_option, place)),
      group(join(options, place, device)) {}

}  // namespace hessian::experiments
