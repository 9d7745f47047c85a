#include "experiments/probe.h"

#include "device_option.h"
#include "experiments/output_file.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "probe_measurement.h"
#include "probe_subject.h"
#include "probe_writer.h"

namespace experiments {

ProbeReport run_probe(const ProbeOptions& options, const Progress& progress) {
  const hessian::MemoryScope memory;
  engine_of(options);  // refuses before anything is read
  const at::Device device = choose_device(options.device, "--device");
  ensure_writable_output(options.out, options.overwrite);
  const ProbeSubject subject = load_subject(options, device);
  // Before the run file is made, so that a refusal leaves none.
  ProbeMeasurement measurement(options, subject, device);

  ProbeReport report;
  report.model_description = subject.description;
  report.device = hessian::describe_device(device);
  report.step = subject.step;
  report.sequences = subject.sequences();
  report.seq_len = subject.seq_len();
  report.losses = measurement.losses();
  ProbeOptions resolved = options;
  resolved.seq_len = subject.seq_len();
  ProbeWriter writer(resolved, subject.forward.config(), report.device, measurement.layout());
  writer.write_overview(report.step, report.losses, measurement.positions());

  for (std::size_t i = 0; i < measurement.size(); ++i) {
    report.rows.push_back(measurement.measure(i));
    writer.write_row(report.rows.back());
    if (progress) {
      progress(static_cast<int64_t>(i + 1), static_cast<int64_t>(measurement.size()));
    }
  }
  report.peak_memory_bytes = memory.peak_bytes();
  writer.finish(report.peak_memory_bytes);
  return report;
}

}  // namespace experiments
