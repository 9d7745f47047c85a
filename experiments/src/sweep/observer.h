#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "sweep/cells.h"

namespace hessian::experiments {

/// Progress of a run that is being trained.
struct RunningCell {
  Cell cell;
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0;  ///< of the step; NaN before the first one
};

/// Interface that a sweep reports its progress to. `done` of `wanted` runs have ended.
class SweepObserver {
 public:
  virtual ~SweepObserver() = default;
  /// Called about twice a second while runs are being trained.
  virtual void progress(const std::vector<RunningCell>& running, int64_t done, int64_t wanted) = 0;
  /// Called when a run has ended; `message` says why it failed, and is empty if it did not.
  virtual void ended(const CellResult& result, const std::string& message, int64_t done, int64_t wanted) = 0;
};

}  // namespace hessian::experiments
