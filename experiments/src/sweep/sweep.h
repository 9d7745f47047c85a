#pragma once

#include <string>

#include "run_file/output_file.h"
#include "sweep/observer.h"
#include "sweep/table.h"

namespace hessian::experiments {

/// What to sweep, and what to do about a sweep that exists already.
struct SweepOptions {
  SweepConfig config;
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

struct SweepOutcome {
  SweepTable table;
  bool interrupted = false;
};

/// Trains every run that the sweep needs, up to `jobs` at a time, each in a process of its own. Rewrites SWEEP/sweep.h5
/// whenever a run ends.
///
/// A run whose process dies is started once more; if it dies again it counts as failed until the sweep is resumed. The
/// other runs are not affected. Results are read from the run files alone, so that a resumed sweep repeats no finished
/// run.
/// \throws std::invalid_argument  if a finished run belongs to another configuration
/// \throws std::runtime_error     if the sweep exists already, another process works on it, or a file cannot be written
SweepOutcome run_sweep(const SweepOptions& options, SweepObserver& observer);

/// Makes the table from the run files, and writes SWEEP/sweep.h5. Trains nothing.
SweepTable merge_sweep(const SweepOptions& options);

}  // namespace hessian::experiments
