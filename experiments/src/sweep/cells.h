#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sweep/config.h"
#include "train/run_summary.h"

namespace hessian::experiments {

/// One run of a sweep.
struct Cell {
  std::string model;
  double lr = 0;
  int64_t seed = 0;
  std::string label = {};  ///< what the model is called; follows from the model and the sweep's configuration

  bool operator==(const Cell& other) const { return model == other.model && lr == other.lr && seed == other.seed; }
};

enum class CellStatus {
  pending,   ///< not finished
  stable,    ///< finished without diverging
  diverged,  ///< as the divergence monitor has it
  failed,    ///< its process ended without finishing it
};

const char* to_string(CellStatus status);

/// A cell and what its run file says.
struct CellResult {
  Cell cell;
  CellStatus status = CellStatus::pending;
  RunSummary summary;
};

/// Returns what a model of the sweep is called, as model_label(TrainConfig) has it.
std::string model_label(const SweepConfig& config, const std::string& model);

/// "llama2-0.9M-simplegpt, lr 1.000e-03, seed 0"
std::string cell_name(const Cell& cell);

/// The folder of a cell's run: SWEEP/MODEL/lr-RATE/seed-SEED.
std::filesystem::path cell_folder(const SweepConfig& config, const Cell& cell);

/// The training configuration of a cell.
TrainConfig cell_config(const SweepConfig& config, const Cell& cell);

/// The cells of the grid: model by model, rates ascending, and all seeds of a rate together.
std::vector<Cell> grid_cells(const SweepConfig& config);

/// Rounds of bisection that a model takes at most.
int rounds_of(const SweepConfig& config);

/// The rate of a round of bisection, 1 ... rounds_of(config), which the results of the grid and of the earlier rounds
/// decide; nothing if they are not all there, or the bracket is narrow enough or open.
std::optional<double> bisection_rate(const SweepConfig& config, const std::string& model, int round,
                                     const std::vector<CellResult>& results);

/// Every cell that the sweep needs as far as the results tell: the grid, and for each model the rounds of bisection up
/// to the first whose predecessors are not complete.
std::vector<Cell> wanted_cells(const SweepConfig& config, const std::vector<CellResult>& results);

/// What the run file of a cell says; pending where there is none that can be read or the run is not finished.
/// \throws std::invalid_argument  if the run was made with another configuration, naming the key
CellResult read_result(const SweepConfig& config, const Cell& cell);

/// The wanted cells with their results, read from the run files.
/// \param unfinished  what a run that is not finished counts as: pending, or failed where nothing runs any more
std::vector<CellResult> read_results(const SweepConfig& config, CellStatus unfinished);

/// The results of one model as lr_search has them: those that are stable or have diverged.
std::vector<RunOutcome> outcomes_of(const std::string& model, const std::vector<CellResult>& results);

}  // namespace hessian::experiments
