#include "config/command.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

#include "program/program.h"

namespace hessian::experiments {

void declare(CLI::App& app, ConfigCommand& command, const std::string& what) {
  app.add_option("config", command.config, "configuration in TOML; --keys lists what it may hold")
      ->type_name("CONFIG.toml");
  app.add_option("--set", command.settings, "KEY=VALUE: replaces a key of the configuration; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  auto* resume = app.add_flag("--resume", command.resume,
                              "go on with " + what + " where it stopped, or start where there is none");
  app.add_flag("--overwrite", command.overwrite, "replace " + what + " that is there already")->excludes(resume);
  app.add_flag("--keys", command.keys, "list the keys of a configuration with their defaults");
  app.add_flag("--json", command.json, "print the result as JSON");
}

std::optional<int> answer_keys(const ConfigCommand& command, const ConfigFields& defaults, const std::string& program) {
  if (command.keys) {
    print(config_help(defaults));
    return 0;
  }
  if (command.config.empty()) {
    throw std::invalid_argument("CONFIG.toml is required; see " + program + " --help");
  }
  return std::nullopt;
}

ExistingRun existing_run(const ConfigCommand& command) {
  if (command.resume) {
    return ExistingRun::resume;
  }
  return command.overwrite ? ExistingRun::replace : ExistingRun::refuse;
}

}  // namespace hessian::experiments
