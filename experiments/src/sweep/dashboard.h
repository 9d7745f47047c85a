#pragma once

#include <chrono>
#include <string>

#include "sweep/sweep.h"

namespace hessian::experiments {

/// Shows a sweep on stderr: on a terminal a line for each run that goes on, redrawn in place, below a line for each
/// that has ended; elsewhere the latter alone.
class SweepDashboard final : public SweepObserver {
 public:
  SweepDashboard();
  SweepDashboard(const SweepDashboard&) = delete;
  SweepDashboard& operator=(const SweepDashboard&) = delete;
  /// Wipes the lines of running runs.
  ~SweepDashboard() override;

  void progress(const std::vector<RunningCell>& running, int64_t done, int64_t wanted) override;
  void ended(const CellResult& result, const std::string& message, int64_t done, int64_t wanted) override;

 private:
  void wipe();

  bool terminal_;
  std::size_t lines_ = 0;  // drawn, to be drawn over
  int64_t done_before_ = -1;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace hessian::experiments
