#include <CLI/CLI.hpp>

#include "config/model_option.h"
#include "hessian/host_memory.h"
#include "probe/describe_model.h"
#include "probe/probe.h"
#include "probe/report.h"
#include "program/job_place.h"
#include "program/log.h"
#include "program/program.h"
#include "program/progress.h"
#include "spectrum/command.h"

namespace {

using namespace hessian::experiments;

void warn(const std::vector<std::string>& warnings) {
  for (const std::string& warning : warnings) {
    log_warning(warning);
  }
}

/// Measures the norms of activation Hessians, and activation scales.
int probe_norms(const ProbeCommand& command, bool is_first, const Progress& progress) {
  const ProbeOptions& options = command.options.probe;
  const ProbeReport report = run_probe(options, command.output, progress, [&](const ProbeReport& so_far) {
    for (const std::string& line : so_far.plan) {
      if ((options.memory_bytes || so_far.weights_streamed) && is_first) {
        log_note(line);
      }
    }
  });
  if (is_first) {
    print(command.json ? format_json(report) : format_table(report));
    warn(warnings_of(report));
  }
  return checks_passed(report) ? 0 : 1;
}

/// Measures what the options request beyond these norms: spectra, traces, diagonals, terms of H_xx.
int probe_spectra(const ProbeCommand& command, bool is_first, const Progress& progress) {
  const SpectrumReport report = run_spectrum(command.options, command.output, progress);
  if (is_first) {
    print(command.json ? format_json(report) : format_text(report));
    warn(warnings_of(report));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-probe", [&] {
    hessian::keep_freed_memory();
    ProbeCommand command;
    CLI::App app("Curvature of the loss with respect to activations, layer by layer, or to parameters",
                 "hessian-probe");
    declare(app, command);
    if (const auto status = parse_command_line(app, argc, argv)) {
      return *status;
    }
    check(command);
    command.options.probe.model = newest_checkpoint_of(command.options.probe.model);
    command.output.command_line = join_command_line(argc, argv);
    const bool is_first = job_place().is_first();
    if (command.describe) {
      if (is_first) {
        const ModelDescription description = describe_model(command.options.probe);
        print(command.json ? format_json(description) : format_text(description));
      }
      return 0;
    }
    ProgressLine line("probing");
    const Progress progress = [&line, is_first](int64_t done, int64_t total) {
      if (is_first) {
        line.update(done, total);
      }
    };
    return command.options.is_requested() ? probe_spectra(command, is_first, progress)
                                          : probe_norms(command, is_first, progress);
  });
}
