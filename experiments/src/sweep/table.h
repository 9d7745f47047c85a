#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sweep/cells.h"

namespace hessian::experiments {

/// What a sweep says of one model.
struct ModelSummary {
  std::string label;
  LrSummary lr;
  /// The peak rates that the curvature of the runs at the largest stable rate allows, median over their seeds; see
  /// RunSummary.
  std::optional<double> activation_rate;
  std::optional<double> sharpness_rate;
  std::optional<double> preconditioned_rate;
  int64_t pending = 0;
  int64_t failed = 0;
};

/// The largest stable rate of one model over that of its PreNorm twin, with what the brackets leave open.
struct StabilityRatio {
  std::string label;
  std::string baseline;
  double ratio = 0;
  std::optional<double> low;   ///< its largest stable rate over the twin's smallest unstable one
  std::optional<double> high;  ///< its smallest unstable rate over the twin's largest stable one
};

/// Theory and experiment side by side; decided by the configuration and the run files alone.
struct SweepTable {
  std::vector<CellResult> results;  ///< by model as configured, rate and seed
  std::vector<ModelSummary> models;
  std::vector<StabilityRatio> ratios;
};

SweepTable make_table(const SweepConfig& config, std::vector<CellResult> results);

/// The table for people. The first form has a line for each model; `rates` adds one for each of its rates.
std::string format_text(const SweepTable& table, bool rates);

/// The table as one JSON object; numbers that are not finite become null.
std::string format_json(const SweepTable& table);

/// Whether every run that the sweep wanted has ended, and none failed.
bool is_finished(const SweepTable& table);

/// Whatever a reader must not miss, a line each: brackets that are open, runs that failed or are not finished.
std::vector<std::string> warnings_of(const SweepTable& table);

/// Writes the table as the sweep's run file, which appears whole; an older one is replaced.
/// \param finished  whether nothing is left to run
void write_sweep_file(const std::filesystem::path& path, const SweepConfig& config, const std::string& command_line,
                      const SweepTable& table, bool finished);

/// The run file of a sweep: SWEEP/sweep.h5.
std::filesystem::path sweep_file(const SweepConfig& config);

}  // namespace hessian::experiments
