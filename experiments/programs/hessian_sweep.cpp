#include <CLI/CLI.hpp>

#include "config/command.h"
#include "hessian/host_memory.h"
#include "program/interrupt.h"
#include "program/job_place.h"
#include "program/log.h"
#include "program/program.h"
#include "sweep/dashboard.h"
#include "sweep/slurm.h"
#include "sweep/sweep.h"
#include "train/report.h"

namespace {

using namespace hessian::experiments;

/// Prints the table and its warnings, in the first process of a job, and returns the exit status.
int show(const SweepTable& table, bool json, bool interrupted) {
  const int status = interrupted || !is_finished(table) ? 1 : 0;
  if (!job_place().is_first()) {
    return status;
  }
  print(json ? format_json(table) : format_text(table, /*rates=*/true));
  for (const std::string& warning : warnings_of(table)) {
    log_warning(warning);
  }
  return status;
}

int run_task(const std::string& word, const SweepOptions& options) {
  const auto [stage, index] = parse_task(word);
  const auto cell = cell_of_task(options.config, stage, index);
  if (!cell) {
    print("this round of bisection is not needed\n");
    return 0;
  }
  const TrainReport report =
      train_with_progress({cell_config(options.config, *cell), ExistingRun::resume, options.command_line});
  print(format_text(report));
  return report.interrupted ? 1 : 0;
}

SweepOutcome run_all(const SweepOptions& options) {
  const InterruptGuard guard;
  SweepDashboard dashboard;
  return run_sweep(options, dashboard);
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-sweep", [&] {
    hessian::keep_freed_memory();
    ConfigCommand command;
    std::string emit;
    std::string task;
    bool merge = false;
    CLI::App app("Finds the largest stable learning rate of each model", "hessian-sweep");
    declare(app, command, "a sweep");
    auto* emit_option =
        app.add_option("--emit", emit, "slurm: print a script that submits the runs as array jobs, and run nothing")
            ->check(CLI::IsMember({"slurm"}));
    auto* task_option =
        app.add_option("--task", task, "STAGE:INDEX: run one task of such an array job")->excludes(emit_option);
    app.add_flag("--merge", merge, "make the table from the finished runs, and run nothing")
        ->excludes(emit_option)
        ->excludes(task_option);
    if (const auto status = parse_command_line(app, argc, argv)) {
      return *status;
    }
    SweepConfig defaults;
    if (const auto status = answer_keys(command, sweep_fields(defaults), "hessian-sweep")) {
      return *status;
    }
    const SweepOptions options{load_sweep_config(command.config, command.settings), existing_run(command),
                               join_command_line(argc, argv)};
    if (!emit.empty()) {
      print(slurm_script(options.config, command.config, command.settings));
      return 0;
    }
    if (task_option->count() > 0) {
      return run_task(task, options);
    }
    if (merge) {
      return show(merge_sweep(options), command.json, false);
    }
    const SweepOutcome outcome = run_all(options);
    return show(outcome.table, command.json, outcome.interrupted);
  });
}
