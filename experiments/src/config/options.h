#pragma once

#include <functional>
#include <string>
#include <vector>

#include "config/fields.h"

namespace CLI {
class App;
}

namespace hessian::experiments {

/// Declares an option of a program once for all uses: as a flag on the command line, as a line of the help text, and as
/// a key in the configuration of a run file.
struct ProgramOption {
  std::string flag;                                           ///< "--tol"
  ConfigField field;                                          ///< key, value and help
  std::function<std::string(const std::string&)> check = {};  ///< returns what is wrong with a word; see program.h
  bool required = false;
  std::string bare_word = {};  ///< word that is used if none follows the flag; empty: a word must follow
  std::string group = {};      ///< heading of the help text; empty: the first one
};
using ProgramOptions = std::vector<ProgramOption>;

/// Declares options on a command line. Lists are separated by commas. The help text shows a default unless it is 0 or
/// absent. The values that the options set must outlive the app.
void declare(CLI::App& app, const ProgramOptions& options);

/// Writes the values of those options that have a key as TOML, in one section. A key in `left_out` is not written.
std::string config_section(const std::string& section, const ProgramOptions& options,
                           const std::vector<std::string>& left_out = {});

}  // namespace hessian::experiments
