#include <CLI/CLI.hpp>

#include "experiments/program.h"
#include "experiments/train.h"
#include "experiments/train_report.h"

namespace {

struct Words {
  std::string config;
  std::vector<std::string> settings;
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
  auto* resume = app.add_flag("--resume", words.resume, "go on from the last checkpoint, or start where there is none");
  app.add_flag("--overwrite", words.overwrite, "replace a run that is there already")->excludes(resume);
  app.add_flag("--keys", words.keys, "list the keys of a configuration with their defaults");
  app.add_flag("--json", words.json, "print the result as JSON");
}

}  // namespace

int main(int argc, char** argv) {
  return experiments::run_program("hessian-train", [&] {
    Words words;
    CLI::App app("Trains a GPT, with its curvature along the way", "hessian-train");
    declare(app, words);
    if (const auto status = experiments::parse_command_line(app, argc, argv)) {
      return *status;
    }
    if (words.keys) {
      experiments::TrainConfig defaults;
      experiments::print(experiments::config_help(experiments::train_fields(defaults)));
      return 0;
    }
    if (words.config.empty()) {
      throw std::invalid_argument("CONFIG.toml is required; see hessian-train --help");
    }
    experiments::TrainOptions options;
    options.config = experiments::load_train_config(words.config, words.settings);
    options.existing = experiments::existing_run(words.resume, words.overwrite);
    options.command_line = experiments::join_command_line(argc, argv);
    const experiments::TrainReport report = experiments::train_with_progress(options);
    experiments::print(words.json ? experiments::format_json(report) : experiments::format_text(report));
    return report.interrupted ? 1 : 0;
  });
}
