#include "experiments/probe.h"

#include <algorithm>
#include <utility>

#include "device_option.h"
#include "experiments/output_file.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "probe_measurement.h"
#include "probe_subject.h"
#include "probe_writer.h"

namespace experiments {

ProbeReport run_probe(const ProbeOptions& options, const Progress& progress, const Announce& announce) {
  const hessian::MemoryScope memory;
  const at::Device device = choose_device(options.device, "--device");
  ProbeOptions resolved = options;
  resolved.engine = choose_engine(options.engine, device);
  ensure_writable_output(options.out, options.overwrite);
  const ProbeSubject subject = load_subject(options, device);
  // Before the run file is made, so that a refusal leaves none.
  ProbeMeasurement measurement(resolved, subject, device);

  ProbeReport report;
  report.model_description = subject.description;
  report.device = hessian::describe_device(device);
  report.step = subject.step;
  report.sequences = subject.sequences();
  report.seq_len = subject.seq_len();
  report.losses = measurement.losses();
  resolved.seq_len = subject.seq_len();
  ProbeWriter writer(resolved, subject.forward.config(), report.device, measurement.layout());
  writer.write_overview(report.step, report.losses, measurement.positions());

  report.plan = measurement.plan_lines();
  report.planned_bytes = measurement.planned_bytes();
  if (announce) {
    announce(report);
  }
  for (std::size_t group = 0; group < measurement.groups(); ++group) {
    for (ProbeRow& row : measurement.measure(group)) {
      writer.write_row(row);
      report.rows.push_back(std::move(row));
    }
    if (progress) {
      progress(static_cast<int64_t>(report.rows.size()), static_cast<int64_t>(measurement.rows()));
    }
  }
  std::stable_sort(report.rows.begin(), report.rows.end(),
                   [](const ProbeRow& a, const ProbeRow& b) { return a.layer < b.layer; });
  report.peak_memory_bytes = memory.peak_bytes();
  writer.finish(report.peak_memory_bytes);
  return report;
}

}  // namespace experiments
