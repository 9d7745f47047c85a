#include "sweep/dashboard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "program/number_text.h"
#include "program/progress.h"
#include "program/seconds_since.h"

namespace hessian::experiments {
namespace {

std::string loss_text(double loss) {
  return std::isnan(loss) ? "-" : number_text(loss, "{:.4f}");
}

/// Formats the final loss of a run; a dash if the run has no step and thus no loss.
std::string loss_text(const CellResult& result) {
  return result.summary.step == 0 ? "-" : loss_text(result.summary.final_loss);
}

std::string status_text(const CellResult& result, const std::string& message) {
  switch (result.status) {
    case CellStatus::diverged:
      return fmt::format("diverged: {}", describe(*result.summary.divergence));
    case CellStatus::failed:
      return "failed: " + message;
    default:
      return to_string(result.status);
  }
}

}  // namespace

SweepDashboard::SweepDashboard() : terminal_(isatty(STDERR_FILENO) != 0), start_(std::chrono::steady_clock::now()) {}

SweepDashboard::~SweepDashboard() {
  erase_running();
}

void SweepDashboard::erase_running() {
  if (lines_ > 0) {
    std::fputs(fmt::format("\033[{}A\033[J", lines_).c_str(), stderr);  // cursor up, erase to the end of the screen
    lines_ = 0;
  }
}

void SweepDashboard::progress(const std::vector<RunningCell>& running, int64_t done, int64_t wanted) {
  if (!terminal_) {
    return;
  }
  if (done_before_ < 0) {
    done_before_ = done;
  }
  erase_running();
  std::string text;
  for (const RunningCell& run : running) {
    text += fmt::format("  {}: step {} of {}, loss {}, running\n", cell_name(run.cell), run.step, run.steps,
                        loss_text(run.loss));
  }
  text += fmt::format("{} of {} runs done", done, wanted);
  if (done > done_before_) {
    const double elapsed = seconds_since(start_);
    const double left = elapsed / static_cast<double>(done - done_before_) * static_cast<double>(wanted - done);
    text += fmt::format(", about {} left", format_seconds(left));
  }
  text += '\n';
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
  lines_ = running.size() + 1;
}

void SweepDashboard::ended(const CellResult& result, const std::string& message, int64_t done, int64_t wanted) {
  erase_running();
  std::fputs(fmt::format("{}: step {}, loss {}, {} ({} of {} runs done)\n", cell_name(result.cell), result.summary.step,
                         loss_text(result), status_text(result, message), done, wanted)
                 .c_str(),
             stderr);
  std::fflush(stderr);
}

}  // namespace hessian::experiments
