#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace experiments {

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

/// "42 s", "3 min 05 s", "2 h 10 min".
std::string format_seconds(double seconds);

}  // namespace experiments
