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

/// What the programs that read a configuration file have in common on their command lines.
struct ConfigCommand {
  std::string config;
  std::vector<std::string> settings;
  bool resume = false;
  bool overwrite = false;
  bool keys = false;
  bool json = false;
};

/// Declares CONFIG.toml, --set, --resume, --overwrite, --keys and --json.
/// \param what  what is gone on with or replaced: "a run"
void declare(CLI::App& app, ConfigCommand& command, const std::string& what);

/// Answers --keys.
/// \return  nothing if the program is to go on, otherwise its exit status
/// \throws std::invalid_argument  if there is no configuration
std::optional<int> answer_keys(const ConfigCommand& command, const ConfigFields& defaults, const std::string& program);

/// What happens to results that are there already.
ExistingRun existing_run(const ConfigCommand& command);

}  // namespace hessian::experiments
