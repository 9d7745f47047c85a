#include "experiments/probe.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "device_option.h"
#include "experiments/job_place.h"
#include "experiments/output_file.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "probe_measurement.h"
#include "probe_subject.h"
#include "probe_writer.h"
#include "process_group.h"

namespace experiments {

ProbeReport run_probe(const ProbeOptions& options, const Progress& progress, const Announce& announce) {
  const hessian::MemoryScope memory;
  const JobPlace place = job_place();
  const at::Device device = choose_device(options.device, "--device", place);
  ProbeOptions resolved = options;
  resolved.engine = choose_engine(options.engine, device);
  resolved.processes_sharing_memory = device.is_cpu() ? place.local_size : 1;
  if (place.is_first()) {
    ensure_writable_output(options.out, options.overwrite);
  }
  const ProbeSubject subject = load_subject(options, device);
  const ProcessGroup group = ProcessGroup::join(place, device);
  // Before the run file is made, so that a refusal leaves none.
  ProbeMeasurement measurement(resolved, subject, device, group);

  ProbeReport report;
  report.model_description = subject.description;
  report.device = hessian::describe_device(device);
  report.step = subject.step;
  report.sequences = subject.sequences();
  report.seq_len = subject.seq_len();
  report.losses = measurement.losses();
  resolved.seq_len = subject.seq_len();
  std::optional<ProbeWriter> writer;
  if (group.is_first()) {
    writer.emplace(resolved, subject.forward.config(), report.device, measurement.layout());
    writer->write_overview(report.step, report.losses, measurement.positions());
  }

  report.plan = measurement.plan_lines();
  report.planned_bytes = measurement.planned_bytes();
  if (announce) {
    announce(report);
  }
  for (std::size_t round = 0; round < measurement.rounds(); ++round) {
    for (ProbeRow& row : measurement.measure(round)) {
      if (writer) {
        writer->write_row(row);
      }
      report.rows.push_back(std::move(row));
    }
    if (progress) {
      progress(static_cast<int64_t>(report.rows.size()), static_cast<int64_t>(measurement.rows()));
    }
  }
  std::stable_sort(report.rows.begin(), report.rows.end(),
                   [](const ProbeRow& a, const ProbeRow& b) { return a.layer < b.layer; });
  report.peak_memory_bytes = memory.peak_bytes();
  if (writer) {
    writer->finish(report.peak_memory_bytes);
  }
  return report;
}

}  // namespace experiments
