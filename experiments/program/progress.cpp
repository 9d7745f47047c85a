#include "program/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <utility>

#include "program/number_text.h"
#include "program/seconds_since.h"

namespace hessian::experiments {
namespace {

/// Moves to the start of the terminal's line and clears it.
constexpr const char* clear_line = "\r\033[K";

}  // namespace

ProgressLine::ProgressLine(std::string label)
    : label_(std::move(label)), shown_(isatty(STDERR_FILENO) != 0), start_(std::chrono::steady_clock::now()) {}

ProgressLine::~ProgressLine() {
  if (shown_) {
    std::fputs(clear_line, stderr);
  }
}

void ProgressLine::update(int64_t done, int64_t total) {
  if (!shown_ || done < 1) {
    return;
  }
  const double elapsed = seconds_since(start_);
  const double left = elapsed / static_cast<double>(done) * static_cast<double>(total - done);
  const std::string line =
      fmt::format("{}{}: {} of {}, {} left", clear_line, label_, done, total, format_seconds(left));
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

TrainingProgressLine::TrainingProgressLine()
    : terminal_(isatty(STDERR_FILENO) != 0), last_(std::chrono::steady_clock::now()) {}

TrainingProgressLine::~TrainingProgressLine() {
  if (terminal_) {
    std::fputs(clear_line, stderr);
  }
}

void TrainingProgressLine::update(int64_t step, int64_t steps, double loss, double tokens_per_second,
                                  double seconds_left) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = terminal_ ? std::chrono::milliseconds(100) : std::chrono::milliseconds(10000);
  if (now - last_ < interval && step != steps) {
    return;
  }
  last_ = now;
  const std::string numbers = fmt::format("loss {}, {} tokens/s, {} left", number_text(loss, "{:.4f}"),
                                          format_count(tokens_per_second), format_seconds(seconds_left));
  std::string line = fmt::format("step {} of {}, {}\n", step, steps, numbers);
  if (terminal_) {
    constexpr int64_t width = 24;
    const auto full = static_cast<std::size_t>(width * step / steps);
    line = fmt::format("{}[{:<{}}] {}/{}, {}", clear_line, std::string(full, '#'), width, step, steps, numbers);
  }
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
}

std::string format_count(double count) {
  if (count < 1000) {
    return fmt::format("{:.0f}", count);
  }
  return count < 1e6 ? fmt::format("{:.1f}k", count / 1e3) : fmt::format("{:.2f}M", count / 1e6);
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

}  // namespace hessian::experiments
