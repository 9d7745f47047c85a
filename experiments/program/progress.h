#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hessian::experiments {

/// Shows progress and remaining time on one line of stderr. Prints nothing if stderr is not a terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string label);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  /// Clears the line.
  ~ProgressLine();

  void update(int64_t done, int64_t total);

 private:
  std::string label_;
  bool shown_;
  std::chrono::steady_clock::time_point start_;
};

/// Shows the progress of a training run on stderr: a bar on a terminal, otherwise a line every ten seconds and for the
/// last step.
class TrainingProgressLine {
 public:
  TrainingProgressLine();
  TrainingProgressLine(const TrainingProgressLine&) = delete;
  TrainingProgressLine& operator=(const TrainingProgressLine&) = delete;
  /// Clears the bar.
  ~TrainingProgressLine();

  void update(int64_t step, int64_t steps, double loss, double tokens_per_second, double seconds_left);

 private:
  bool terminal_;
  std::chrono::steady_clock::time_point last_;
};

/// Formats a count: "812", "8.1k", "1.25M".
std::string format_count(double count);

/// Formats a duration: "42 s", "3 min 05 s", "2 h 10 min".
std::string format_seconds(double seconds);

}  // namespace hessian::experiments
