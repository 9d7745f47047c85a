#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hessian::experiments {

/// A line on stderr that tells how far a program is and how long it will take; silent where stderr is no terminal.
class ProgressLine {
 public:
  explicit ProgressLine(std::string label);
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  /// Wipes the line.
  ~ProgressLine();

  void update(int64_t done, int64_t total);

 private:
  std::string label_;
  bool shown_;
  std::chrono::steady_clock::time_point start_;
};

/// How far a training run is: a bar on a terminal, and elsewhere a plain line every ten seconds and for the last step.
class TrainingProgressLine {
 public:
  TrainingProgressLine();
  TrainingProgressLine(const TrainingProgressLine&) = delete;
  TrainingProgressLine& operator=(const TrainingProgressLine&) = delete;
  /// Wipes the bar.
  ~TrainingProgressLine();

  void update(int64_t step, int64_t steps, double loss, double tokens_per_second, double seconds_left);

 private:
  bool terminal_;
  std::chrono::steady_clock::time_point last_;
};

/// "812", "8.1k", "1.25M".
std::string format_count(double count);

/// "42 s", "3 min 05 s", "2 h 10 min".
std::string format_seconds(double seconds);

}  // namespace hessian::experiments
