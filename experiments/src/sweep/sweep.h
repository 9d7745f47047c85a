#pragma once

#include <string>
#include <vector>

#include "sweep/table.h"
#include "train/train.h"

namespace hessian::experiments {

/// A run that goes on at the moment.
struct RunningCell {
  Cell cell;
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;  ///< of the step; NaN before the first one
};

/// Is told what a sweep does.
class SweepObserver {
 public:
  virtual ~SweepObserver() = default;
  /// Now and then, while runs go on.
  virtual void progress(const std::vector<RunningCell>& running, int64_t done, int64_t wanted) = 0;
  /// A run has ended; `message` says why it failed.
  virtual void ended(const CellResult& result, const std::string& message, int64_t done, int64_t wanted) = 0;
};

struct SweepOptions {
  SweepConfig config;
  ExistingRun existing = ExistingRun::refuse;
  std::string command_line;
};

struct SweepOutcome {
  SweepTable table;
  bool interrupted = false;
};

/// Trains every cell that the sweep wants, `jobs` at a time with a process each, and writes SWEEP/sweep.h5 anew
/// whenever one ends.
///
/// A run that dies is started once more, then given up until the sweep is resumed; the others go on. What a run came to
/// stands in its own run file, and the table is made of those alone: a resumed sweep repeats nothing that is finished.
/// \throws std::invalid_argument  if a finished run was made with another configuration
/// \throws std::runtime_error     if the sweep is there already, another process works on it, or a file cannot be
///                                written
SweepOutcome run_sweep(const SweepOptions& options, SweepObserver& observer);

/// The table of what is finished, from the run files; also writes it.
SweepTable merge_sweep(const SweepOptions& options);

/// The cell that a task of an array job runs: `index` counts the cells of the grid for stage 0, and model by model the
/// seeds for a round of bisection. Nothing if that round is not needed. The stages before it have to have ended.
/// \throws std::invalid_argument  if there is no such task
std::optional<Cell> cell_of_task(const SweepConfig& config, int stage, int64_t index);

/// A task as the command line names it.
struct Task {
  int stage = 0;
  int64_t index = 0;
};

/// Reads "STAGE:INDEX".
/// \throws std::invalid_argument
Task parse_task(const std::string& word);

/// Number of tasks of a stage, 0 ... rounds_of(config).
int64_t tasks_of(const SweepConfig& config, int stage);

/// A shell script that submits the sweep to Slurm: an array job for the grid and one for each round of bisection, a
/// task for each run, and a last job that makes the table.
/// \param path, settings  the configuration as it was given to this program
std::string slurm_script(const SweepConfig& config, const std::string& path, const std::vector<std::string>& settings);

}  // namespace hessian::experiments
