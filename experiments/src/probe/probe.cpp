#include "probe/probe.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "config/device_option.h"
#include "distributed/process_group.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "hessian/models/weight_stream.h"
#include "probe/measurement.h"
#include "probe/subject.h"
#include "probe/writer.h"
#include "program/job_place.h"
#include "run_file/output_file.h"

namespace hessian::experiments {

namespace {

/// Loads all weights if they fit, and streams them otherwise.
ProbeMeasurement start(const ProbeOptions& options, at::Device device, const ProcessGroup& group) {
  const std::optional<int64_t> allowed = allowed_bytes(options, device);
  ProbeSource source = read_source(options);
  const models::Model& model = source.checkpoint.model;
  const bool streamable =
      options.engine == Engine::tape && !options.check && allowed && models::can_be_streamed(model, device);
  if (!streamable || models::weight_bytes(model, options.dtype) <= *allowed) {
    try {
      ProbeSubject subject = subject_with_weights(source, device, options.dtype);
      if (!streamable) {
        source = {};  // releases fresh weights, of which the subject has a copy
      }
      return {options, std::move(subject), device, group};
    } catch (const NotEnoughMemory& error) {
      if (options.check) {
        throw NotEnoughMemory(std::string(error.what()) + ", or leave out --check, which holds all weights");
      }
      if (!streamable) {
        throw;
      }
    }
  }
  return {options, subject_with_streamed_weights(source, device, options.dtype), device, group};
}

}  // namespace

ProbeReport run_probe(const ProbeOptions& options, const Progress& progress, const Announce& announce) {
  const hessian::MemoryScope memory;
  const JobPlace place = job_place();
  const at::Device device = choose_device(options.device, "--device", place);
  ProbeOptions resolved = options;
  resolved.engine = choose_engine(options.engine, device);
  resolved.processes_sharing_memory = processes_sharing_memory(device, place);
  if (place.is_first()) {
    ensure_writable_output(options.out, options.overwrite);
  }
  const ProcessGroup group = ProcessGroup::join(place, device);
  // Before the run file is made, so that a refusal leaves none.
  ProbeMeasurement measurement = start(resolved, device, group);
  const ProbeSubject& subject = measurement.subject();

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
    ProbeLayoutOptions layout = measurement.layout();
    layout.plan = true;
    writer.emplace(resolved, subject.forward.config(), report.device, layout);
    writer->write_overview(report.step, report.losses, measurement.positions());
  }

  report.plan = measurement.plan_lines();
  report.planned_bytes = measurement.planned_bytes();
  report.weights_streamed = subject.streamed;
  if (const auto time = measurement.planned_time()) {
    report.plan.push_back(describe(*time));
    report.planned_seconds = time->seconds();
  }
  if (writer) {
    writer->write_plan(report);
  }
  if (announce) {
    announce(report);
  }
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
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  // Weights that are kept over a mapped file are in no allocator's count.
  report.peak_memory_bytes = memory.peak_bytes() + models::mapped_bytes(subject.forward.parameters());
  if (writer) {
    writer->finish(report);
  }
  return report;
}

}  // namespace hessian::experiments
