#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sweep/cells.h"

// Runs sweeps as array jobs: one stage for the grid and one per round of bisection, one task per run.

namespace hessian::experiments {

/// Returns the cell that a task runs, or nothing if its round of bisection is not needed. In stage 0 `index` counts the
/// cells of the grid; in a round of bisection it counts the seeds, model by model.
/// Precondition: all earlier stages have ended.
/// \throws std::invalid_argument  if there is no such task
std::optional<Cell> cell_of_task(const SweepConfig& config, int stage, int64_t index);

/// A task as given on the command line.
struct Task {
  int stage = 0;
  int64_t index = 0;
};

/// Parses "STAGE:INDEX".
/// \throws std::invalid_argument  if the word has another form
Task parse_task(const std::string& word);

/// Returns the number of tasks of a stage, 0 ... rounds_of(config).
/// \throws std::invalid_argument  if there is no such stage
int64_t tasks_of(const SweepConfig& config, int stage);

/// Returns a shell script that submits the sweep to Slurm: one array job per stage, and a last job that makes the
/// table.
/// \param path, settings  the configuration as given to this program
std::string slurm_script(const SweepConfig& config, const std::string& path, const std::vector<std::string>& settings);

}  // namespace hessian::experiments
