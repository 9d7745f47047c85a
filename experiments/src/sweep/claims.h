#pragma once

#include <map>
#include <optional>
#include <string>

#include "distributed/process_group.h"
#include "sweep/cells.h"

namespace hessian::experiments {

/// Divides the cells of a sweep among the processes of a job: each cell is run by the process that claims it first.
/// Also tells all processes what the run files do not show: which runs were started or have failed, and whether a
/// process was interrupted.
class CellClaims {
 public:
  CellClaims(const SweepConfig& config, ProcessGroup group);

  /// Claims a cell for this process. Returns false if another process has claimed it before.
  bool claim(const Cell& cell);
  /// Returns whether an earlier claim() has found that another process runs the cell.
  bool belongs_to_other(const Cell& cell) const;

  void announce_start(const Cell& cell) const;
  /// Returns whether some process of the job has started the cell's run.
  bool was_started(const Cell& cell) const;

  void announce_failure(const Cell& cell, const std::string& message) const;
  /// Returns why the cell's run has failed, if some process has announced that.
  std::optional<std::string> failure(const Cell& cell) const;

  /// Returns whether any process was interrupted: a signal to one stops all.
  bool interrupted() const;

 private:
  const SweepConfig& config_;
  ProcessGroup group_;
  std::map<std::string, bool> own_;  // per claimed cell, whether it is this process's
};

}  // namespace hessian::experiments
