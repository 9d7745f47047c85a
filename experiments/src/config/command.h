#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/fields.h"
#include "run_file/output_file.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace hessian::experiments {

/// Command-line options that all programs with a configuration file share.
struct ConfigCommand {
  std::string config;
  std::vector<std::string> settings;
  bool resume = false;
  bool overwrite = false;
  bool keys = false;
  bool json = false;
};

/// Declares CONFIG.toml, --set, --resume, --overwrite, --keys and --json.
/// \param what  names what --resume continues and --overwrite replaces in the help text, such as "a run"
void declare(CLI::App& app, ConfigCommand& command, const std::string& what);

/// Prints the keys of a configuration if --keys was given.
/// \return  the program's exit status, or nothing if the program should continue
/// \throws std::invalid_argument  if a configuration is needed and none was given
std::optional<int> answer_keys(const ConfigCommand& command, const ConfigFields& defaults, const std::string& program);

/// Returns what to do with results that already exist.
ExistingRun existing_run(const ConfigCommand& command);

}  // namespace hessian::experiments
