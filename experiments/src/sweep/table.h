#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "sweep/cells.h"

namespace hessian::experiments {

/// Results of a sweep for one model.
struct ModelSummary {
  std::string label;
  LrSummary lr;
  /// Peak learning rates up to which training should be stable, as predicted by the curvature that was measured in the
  /// runs at the largest stable rate; median over the seeds. See RunSummary.
  std::optional<double> activation_rate;
  std::optional<double> sharpness_rate;
  std::optional<double> preconditioned_rate;
  int64_t pending = 0;
  int64_t failed = 0;
};

/// Ratio of the largest stable rates of a model and of its PreNorm counterpart, with the range that the brackets allow. Models
/// with failed or unfinished runs have none.
struct StabilityRatio {
  std::string label;
  std::string baseline;
  double ratio = 0;
  std::optional<double> low;   ///< model's largest stable rate / baseline's smallest unstable one
  std::optional<double> high;  ///< model's smallest unstable rate / baseline's largest stable one
};

/// All results of a sweep: measured stability next to the rates that the curvature predicts.
struct SweepTable {
  std::vector<CellResult> results;  ///< by model as configured, rate and seed
  std::vector<ModelSummary> models;
  std::vector<StabilityRatio> ratios;
  int64_t sharpness_sequences = 0;    ///< sequences that the sharpness is taken of; 0 if the runs do not measure it
  std::vector<std::string> warnings;  ///< about the configuration
};

/// Makes the table. It does not depend on the order of the results.
SweepTable make_table(const SweepConfig& config, std::vector<CellResult> results);

/// Formats the table as text with one line per model; `rates` adds one line per learning rate of each model.
std::string format_text(const SweepTable& table, bool rates);

/// Formats the table as one JSON object; numbers that are not finite become null.
std::string format_json(const SweepTable& table);

/// Returns whether every run that the sweep needs has ended, and none failed.
bool is_finished(const SweepTable& table);

/// Returns warnings, one line each: open brackets, runs that failed or are not finished.
std::vector<std::string> warnings_of(const SweepTable& table);

/// Writes the table as the sweep's run file, atomically. Replaces an existing one.
/// \param finished  whether nothing is left to run
void write_sweep_file(const std::filesystem::path& path, const SweepConfig& config, const std::string& command_line,
                      const SweepTable& table, bool finished);

/// Returns the path of a sweep's run file: SWEEP/sweep.h5.
std::filesystem::path sweep_file(const SweepConfig& config);

}  // namespace hessian::experiments
