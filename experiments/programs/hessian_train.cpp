#include <CLI/CLI.hpp>

#include "config/command.h"
#include "hessian/host_memory.h"
#include "program/job_place.h"
#include "program/program.h"
#include "train/report.h"

int main(int argc, char** argv) {
  using namespace hessian::experiments;
  return run_program("hessian-train", [&] {
    hessian::keep_freed_memory();
    ConfigCommand command;
    CLI::App app("Trains a GPT and measures its curvature during training", "hessian-train");
    declare(app, command, "a run");
    if (const auto status = parse_command_line(app, argc, argv)) {
      return *status;
    }
    TrainConfig defaults;
    if (const auto status = answer_keys(command, train_fields(defaults), "hessian-train")) {
      return *status;
    }
    TrainOptions options;
    options.config = load_train_config(command.config, command.settings);
    options.existing = existing_run(command);
    options.command_line = join_command_line(argc, argv);
    const TrainReport report = train_with_progress(options);
    if (job_place().is_first()) {
      print(command.json ? format_json(report) : format_text(report));
    }
    return report.interrupted ? 1 : 0;
  });
}
