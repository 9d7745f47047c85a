#pragma once

#include <chrono>
#include <string>

#include "sweep/observer.h"

namespace hessian::experiments {

/// Shows a sweep on stderr: one line per run that has ended and, on a terminal, below them one line per run that is
/// being trained, redrawn in place.
class SweepDashboard final : public SweepObserver {
 public:
  SweepDashboard();
  SweepDashboard(const SweepDashboard&) = delete;
  SweepDashboard& operator=(const SweepDashboard&) = delete;
  /// Erases the lines of running runs.
  ~SweepDashboard() override;

  void progress(const std::vector<RunningCell>& running, int64_t done, int64_t wanted) override;
  void ended(const CellResult& result, const std::string& message, int64_t done, int64_t wanted) override;

 private:
  void erase_running();

  bool terminal_;
  std::size_t lines_ = 0;     // drawn for running runs
  int64_t done_before_ = -1;  // runs that had ended when the sweep was resumed; -1 until known
  std::chrono::steady_clock::time_point start_;
};

}  // namespace hessian::experiments
