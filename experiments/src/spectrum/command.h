#pragma once

#include <string>
#include <vector>

#include "spectrum/spectrum.h"

namespace CLI {
class App;
}

namespace hessian::experiments {

/// The command line of hessian-probe: the options, and the words for those that are something else in them.
struct ProbeCommand {
  SpectrumOptions options;
  std::vector<std::string> sites = {"residual"};
  std::string unit = "sequence";
  std::string method = "lanczos";
  std::string engine;
  std::string ends = "both";
  std::string dtype = "float32";
  std::string memory;
  std::string target = "activations";
  std::string matrix = "hessian";
  std::string trace;
  bool json = false;
};

/// Declares the options. The command has to live as long as the app.
void declare(CLI::App& app, ProbeCommand& command);

/// The options after parsing, words understood.
/// \throws std::invalid_argument  naming the accepted words
SpectrumOptions interpret(const ProbeCommand& command);

}  // namespace hessian::experiments
