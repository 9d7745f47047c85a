#include "experiments/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

namespace experiments {

ProgressLine::ProgressLine(std::string label)
    : label_(std::move(label)), shown_(isatty(STDERR_FILENO) != 0), start_(std::chrono::steady_clock::now()) {}

ProgressLine::~ProgressLine() {
  if (shown_) {
    std::fputs("\r\033[K", stderr);
  }
}

void ProgressLine::update(int64_t done, int64_t total) {
  if (!shown_ || done < 1) {
    return;
  }
  const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  const double left = elapsed / static_cast<double>(done) * static_cast<double>(total - done);
  const std::string line = fmt::format("\r\033[K{}: {} of {}, {} left", label_, done, total, format_seconds(left));
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

std::string format_seconds(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 60) {
    return fmt::format("{} s", whole);
  }
  if (whole < 3600) {
    return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  }
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

}  // namespace experiments
