#include "config/command.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

#include "program/program.h"

namespace hessian::experiments {

void declare(CLI::App& app, ConfigCommand& command, const std::string& what) {
  app.add_option("config", command.config, "configuration in TOML; --keys lists its keys")->type_name("CONFIG.toml");
  app.add_option("--set", command.settings, "overrides a key of the configuration; may be given several times")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  auto* resume = app.add_flag("--resume", command.resume,
                              "continue " + what + " from where it stopped, or start it if there is none");
  app.add_flag("--overwrite", command.overwrite, "replace " + what + " that already exists")->excludes(resume);
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
