#pragma once

#include "spectrum/spectrum.h"

namespace CLI {
class App;
}

namespace hessian::experiments {

/// The command line of hessian-probe.
struct ProbeCommand {
  SpectrumOptions options;
  ProbeOutput output;
  bool json = false;
  bool describe = false;  ///< print what is known of the model, and compute nothing
};

/// Declares the options. The command must outlive the app.
void declare(CLI::App& app, ProbeCommand& command);

/// Checks options that depend on each other, after parsing.
/// \throws std::invalid_argument  naming the options
void check(const ProbeCommand& command);

}  // namespace hessian::experiments
