#include "spectrum/command.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

namespace hessian::experiments {

void declare(CLI::App& app, ProbeCommand& command) {
  declare(app, probe_options(command.options.probe));
  declare(app, output_options(command.output));
  app.add_flag("--json", command.json, "print JSON instead of a table");
  declare(app, spectrum_options(command.options));
}

void check(const ProbeCommand& command) {
  if (command.options.vectors && command.options.top == 0) {
    throw std::invalid_argument("--vectors stores the eigenvectors of --top; give --top");
  }
}

}  // namespace hessian::experiments
