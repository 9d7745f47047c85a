#include <CLI/CLI.hpp>

#include "experiments/interrupt.h"
#include "experiments/log.h"
#include "experiments/program.h"
#include "experiments/sweep.h"
#include "experiments/sweep_dashboard.h"
#include "experiments/train_report.h"

namespace {

using namespace experiments;

struct Words {
  std::string config;
  std::vector<std::string> settings;
  std::string emit;
  std::string task;
  bool merge = false;
  bool resume = false;
  bool overwrite = false;
  bool keys = false;
  bool json = false;
};

void declare(CLI::App& app, Words& words) {
  app.add_option("config", words.config, "configuration in TOML; --keys lists what it may hold")
      ->type_name("CONFIG.toml");
  app.add_option("--set", words.settings, "KEY=VALUE: replaces a key of the configuration; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  auto* resume = app.add_flag("--resume", words.resume, "go on with a sweep; nothing finished is repeated");
  app.add_flag("--overwrite", words.overwrite, "replace a sweep that is there already")->excludes(resume);
  auto* emit = app.add_option("--emit", words.emit, "slurm: print a script of array jobs instead of running")
                   ->check(CLI::IsMember({"slurm"}));
  auto* task = app.add_option("--task", words.task, "STAGE:INDEX: run one task of such a job")->excludes(emit);
  app.add_flag("--merge", words.merge, "make the table of the runs that are finished, and run nothing")
      ->excludes(emit)
      ->excludes(task);
  app.add_flag("--keys", words.keys, "list the keys of a configuration with their defaults");
  app.add_flag("--json", words.json, "print the table as JSON");
}

int show(const SweepTable& table, const Words& words, bool interrupted) {
  print(words.json ? format_json(table) : format_text(table, /*rates=*/true));
  bool failed = interrupted;
  for (const ModelSummary& model : table.models) {
    failed = failed || model.failed + model.pending > 0;
  }
  for (const std::string& warning : warnings_of(table)) {
    log_warning(warning);
  }
  return failed ? 1 : 0;
}

int run_task(const Words& words, const SweepOptions& options) {
  const auto [stage, index] = parse_task(words.task);
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

int run_all(const Words& words, const SweepOptions& options) {
  const InterruptGuard guard;
  SweepOutcome outcome;
  {
    SweepDashboard dashboard;
    outcome = run_sweep(options, dashboard);
  }
  return show(outcome.table, words, outcome.interrupted);
}

}  // namespace

int main(int argc, char** argv) {
  return run_program("hessian-sweep", [&] {
    Words words;
    CLI::App app("Finds the largest stable learning rate of each model", "hessian-sweep");
    declare(app, words);
    if (const auto status = parse_command_line(app, argc, argv)) {
      return *status;
    }
    if (words.keys) {
      SweepConfig defaults;
      print(config_help(sweep_fields(defaults)));
      return 0;
    }
    if (words.config.empty()) {
      throw std::invalid_argument("CONFIG.toml is required; see hessian-sweep --help");
    }
    const SweepOptions options{load_sweep_config(words.config, words.settings),
                               existing_run(words.resume, words.overwrite), join_command_line(argc, argv)};
    if (!words.emit.empty()) {
      print(slurm_script(options.config, words.config, words.settings));
      return 0;
    }
    if (!words.task.empty()) {
      return run_task(words, options);
    }
    return words.merge ? show(merge_sweep(options), words, false) : run_all(words, options);
  });
}
