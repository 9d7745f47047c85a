#include <CLI/CLI.hpp>

#include "hessian/host_memory.h"
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

/// The norms of activation Hessians, and activation scales.
int probe_norms(const ProbeOptions& options, bool json, bool is_first, const Progress& progress) {
  const ProbeReport report = run_probe(options, progress, [&](const ProbeReport& so_far) {
    for (const std::string& use : so_far.plan) {
      if ((options.memory_bytes || so_far.weights_streamed) && is_first) {
        log_note(use);
      }
    }
  });
  if (is_first) {
    print(json ? format_json(report) : format_table(report));
    warn(warnings_of(report));
  }
  return checks_passed(report) ? 0 : 1;
}

int probe_spectra(const SpectrumOptions& options, bool json, bool is_first, const Progress& progress) {
  const SpectrumReport report = run_spectrum(options, progress);
  if (is_first) {
    print(json ? format_json(report) : format_text(report));
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
    SpectrumOptions options = interpret(command);
    options.probe.command_line = join_command_line(argc, argv);
    const bool is_first = job_place().is_first();
    ProgressLine line("probing");
    const Progress progress = [&line, is_first](int64_t done, int64_t total) {
      if (is_first) {
        line.update(done, total);
      }
    };
    return options.asks() ? probe_spectra(options, command.json, is_first, progress)
                          : probe_norms(options.probe, command.json, is_first, progress);
  });
}
