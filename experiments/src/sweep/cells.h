#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sweep/config.h"
#include "train/run_summary.h"

namespace hessian::experiments {

/// One training run of a sweep.
struct Cell {
  std::string model;
  double lr = 0;
  int64_t seed = 0;
  std::string label = {};  ///< name of the model in tables; follows from the model and the sweep's configuration

  bool operator==(const Cell& other) const { return model == other.model && lr == other.lr && seed == other.seed; }
};

enum class CellStatus {
  pending,   ///< not finished
  stable,    ///< finished without diverging
  diverged,  ///< diverged; stopped early or trained to the last step
  failed,    ///< its process ended without finishing the run
};

const char* to_string(CellStatus status);

/// A cell and the outcome of its run.
struct CellResult {
  Cell cell;
  CellStatus status = CellStatus::pending;
  RunSummary summary;
};

/// Returns the label of a model of the sweep, as model_label(TrainConfig).
std::string model_label(const SweepConfig& config, const std::string& model);

/// Returns a cell's name for messages: "llama2-0.9M-simplegpt, lr 1.000e-03, seed 0".
std::string cell_name(const Cell& cell);

/// Returns the folder of a cell's run: SWEEP/MODEL/lr-RATE/seed-SEED.
std::filesystem::path cell_folder(const SweepConfig& config, const Cell& cell);

/// Returns the name under which processes and tables know a cell: its folder.
std::string cell_key(const SweepConfig& config, const Cell& cell);

/// Returns the training configuration of a cell.
TrainConfig cell_config(const SweepConfig& config, const Cell& cell);

/// Returns the cells of the grid: model by model, rates ascending, with all seeds of a rate next to each other.
std::vector<Cell> grid_cells(const SweepConfig& config);

/// Returns the maximum number of bisection rounds per model.
int rounds_of(const SweepConfig& config);

/// Returns the learning rate that a round of bisection tries. It depends on the results of the grid and of the earlier
/// rounds. Returns nothing if some of these results are missing, or if the bracket is open or narrow enough.
/// \param round  1 ... rounds_of(config)
std::optional<double> bisection_rate(const SweepConfig& config, const std::string& model, int round,
                                     const std::vector<CellResult>& results);

/// Returns every cell that the sweep needs according to the results so far: the grid, and for each model the rounds of
/// bisection up to the first that cannot be decided yet.
std::vector<Cell> wanted_cells(const SweepConfig& config, const std::vector<CellResult>& results);

/// Reads the result of a cell from its run file; pending if the run is not finished or has no readable file.
/// \throws std::invalid_argument  if the run was made with another configuration, naming the key
CellResult read_result(const SweepConfig& config, const Cell& cell);

/// Reads the results of all wanted cells from the run files.
/// \param unfinished  status of runs that are not finished: pending, or failed if no run can still be in progress
std::vector<CellResult> read_results(const SweepConfig& config, CellStatus unfinished);

/// Returns the stable and the diverged runs of one model in the form that lr_search takes.
std::vector<RunOutcome> outcomes_of(const std::string& model, const std::vector<CellResult>& results);

}  // namespace hessian::experiments
