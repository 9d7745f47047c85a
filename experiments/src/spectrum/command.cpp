#include "spectrum/command.h"

#include <CLI/CLI.hpp>
#include <stdexcept>

namespace hessian::experiments {

namespace {

/// Declares --describe, which takes the model instead of --model, and needs no --out.
void declare_describe(CLI::App& app, ProbeCommand& command) {
  const auto set = [&app, &command](const std::string& model) {
    command.describe = true;
    app.get_option("--model")->required(false);
    app.get_option("--out")->required(false);
    if (model.empty()) {
      return;
    }
    if (app.count("--model") > 0) {
      throw CLI::ValidationError("--describe", "--model names a model already; give one of them");
    }
    command.options.probe.model = model;
  };
  app.add_option_function<std::string>("--describe", set,
                                       "print what is known of a model without computing: family, sizes, norms, "
                                       "positions, precision, tokenizer, memory")
      ->expected(0, 1)
      ->type_name("[MODEL]");
}

}  // namespace

void declare(CLI::App& app, ProbeCommand& command) {
  declare(app, probe_options(command.options.probe));
  declare(app, output_options(command.output));
  app.add_flag("--json", command.json, "print JSON instead of a table");
  declare_describe(app, command);
  declare(app, spectrum_options(command.options));
}

void check(const ProbeCommand& command) {
  if (command.describe && command.options.probe.model.empty()) {
    throw std::invalid_argument("--describe needs a model: --describe MODEL");
  }
  if (command.options.vectors && command.options.top == 0) {
    throw std::invalid_argument("--vectors stores the eigenvectors of --top; give --top");
  }
}

}  // namespace hessian::experiments
