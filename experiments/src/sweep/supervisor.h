#pragma once

#include <cstdint>
#include <filesystem>
#include <list>
#include <map>
#include <string>
#include <vector>

#include "program/child_process.h"
#include "program/job_place.h"
#include "sweep/observer.h"

namespace hessian::experiments {

/// Runs hessian-train in child processes, one per cell and at most `jobs` at a time.
class RunSupervisor {
 public:
  /// \throws std::runtime_error  if hessian-train is not in the folder of the running program
  RunSupervisor(const SweepConfig& config, const JobPlace& place);

  bool is_idle() const { return running_.empty(); }
  bool has_free_slot() const { return static_cast<int64_t>(running_.size()) < config_.jobs; }
  bool is_running(const Cell& cell) const;
  std::vector<Cell> running() const;

  /// Starts or resumes the run of a cell. Writes its configuration and its output to the cell's folder.
  void start(const Cell& cell);

  struct EndedRun {
    Cell cell;
    int status = 0;  ///< exit status; 128 plus the signal's number if a signal ended it
  };
  /// Returns the runs that have ended since the last call.
  std::vector<EndedRun> collect_ended();

  /// Returns whether a run that ended without finishing should be started again: once at most, and not if it refused
  /// its configuration.
  bool may_retry(const EndedRun& run) const;

  /// Asks all runs to save a checkpoint and end.
  void terminate_all() const;

 private:
  struct Run {
    Cell cell;
    ChildProcess process;
  };

  const SweepConfig& config_;
  std::filesystem::path trainer_;
  std::string device_;  // value of `device` in the runs' configurations
  std::list<Run> running_;
  std::map<std::string, int> attempts_;  // per cell folder
};

/// Reads the progress of a run from its run file.
RunningCell read_progress(const SweepConfig& config, const Cell& cell);

/// Returns why a run has failed: the signal that ended it, or the last line that it printed.
std::string failure_message(const SweepConfig& config, const RunSupervisor::EndedRun& run);

}  // namespace hessian::experiments
