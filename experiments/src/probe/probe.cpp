#include "probe/probe.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "distributed/job.h"
#include "hessian/device.h"
#include "hessian/models/weight_stream.h"
#include "probe/measurement.h"
#include "probe/subject.h"
#include "probe/writer.h"
#include "program/seconds_since.h"

namespace hessian::experiments {

namespace {

/// Loads all weights if they fit, and streams them otherwise.
ProbeMeasurement start(const ProbeOptions& options, const Job& job) {
  const std::optional<int64_t> allowed = allowed_bytes(options, compute_memory(job.device, job.place));
  ProbeSource source = read_source(options);
  const models::Model& model = source.checkpoint.model;
  const bool streamable =
      options.engine == Engine::tape && !options.check && allowed && models::can_be_streamed(model, job.device);
  if (!streamable || models::weight_bytes(model, options.dtype) <= *allowed) {
    try {
      ProbeSubject subject = subject_with_weights(source, job.device, options.dtype);
      if (!streamable) {
        source = {};  // releases fresh weights, of which the subject has a copy
      }
      return {options, std::move(subject), job.device, job.group};
    } catch (const NotEnoughMemory& error) {
      if (options.check) {
        throw NotEnoughMemory(std::string(error.what()) + ", or leave out --check, which holds all weights");
      }
      if (!streamable) {
        throw;
      }
    }
  }
  return {options, subject_with_streamed_weights(source, job.device, options.dtype), job.device, job.group};
}

/// Returns a report of everything that is known before the first eigenproblem.
ProbeReport begin_report(const ProbeOptions& options, const ProbeMeasurement& measurement, at::Device device) {
  const ProbeSubject& subject = measurement.subject();
  ProbeReport report;
  report.model_description = subject.description;
  report.device = describe_device(device);
  report.step = subject.step;
  report.sequences = subject.sequences();
  report.seq_len = subject.seq_len();
  report.losses = measurement.losses();
  report.ends = options.ends;
  report.dtype = options.dtype;
  report.certify = options.certify;
  report.confidence = options.confidence;
  report.plan = measurement.plan_lines();
  report.planned_bytes = measurement.planned_bytes();
  report.weights_streamed = subject.streamed;
  if (const auto time = measurement.planned_time()) {
    report.plan.push_back(describe(*time));
    report.planned_seconds = time->seconds();
  }
  return report;
}

ProbeWriter open_run_file(ProbeOptions options, const ProbeOutput& output, const ProbeMeasurement& measurement,
                          const ProbeReport& report) {
  options.sequences = report.sequences;
  options.seq_len = report.seq_len;
  ProbeLayoutOptions layout = measurement.layout();
  layout.plan = true;
  ProbeWriter writer(options, output, measurement.subject().forward.config(), report.device, layout);
  writer.write_overview(report.step, report.losses, measurement.positions());
  writer.write_plan(report);
  return writer;
}

/// Measures and writes all rows, and adds them to the report.
void measure_rows(ProbeMeasurement& measurement, std::optional<ProbeWriter>& writer, const Progress& progress,
                  ProbeReport& report) {
  const auto begin = std::chrono::steady_clock::now();
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
  report.seconds = seconds_since(begin);
}

}  // namespace

ProbeReport run_probe(const ProbeOptions& options, const ProbeOutput& output, const Progress& progress,
                      const Announce& announce) {
  const Job job({.device = options.device, .output = output.path, .overwrite = output.overwrite});
  ProbeOptions resolved = options;
  resolved.engine = choose_engine(options.engine, job.device);
  // Plans the memory before the run file is created, so that a failure leaves no file.
  ProbeMeasurement measurement = start(resolved, job);
  require_no_overflow(measurement.record(), measurement.subject(), resolved.model, "give --dtype float64");
  ProbeReport report = begin_report(resolved, measurement, job.device);
  std::optional<ProbeWriter> writer;
  if (job.group.is_first()) {
    writer.emplace(open_run_file(resolved, output, measurement, report));
  }
  if (announce) {
    announce(report);
  }
  measure_rows(measurement, writer, progress, report);
  // Adds weights that stay in a mapped file, because no allocator counts them.
  report.peak_memory_bytes = job.memory.peak_bytes() + models::mapped_bytes(measurement.subject().forward.parameters());
  if (writer) {
    writer->finish(report);
  }
  return report;
}

}  // namespace hessian::experiments
