#include "sweep/supervisor.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

#include "config/device_option.h"
#include "hessian/run_file.h"
#include "run_file/output_file.h"
#include "train/train.h"

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;

fs::path find_trainer() {
  fs::path trainer = this_program().parent_path() / "hessian-train";
  if (::access(trainer.c_str(), X_OK) != 0) {
    throw std::runtime_error(trainer.string() + ": not found; hessian-sweep starts it for each run");
  }
  return trainer;
}

/// Returns the value of `device` for the runs of a process: its own GPU if several processes share a machine.
std::string device_for_runs(const std::string& device, const JobPlace& place) {
  if (place.local_size == 1) {
    return device;  // the runs interpret it themselves
  }
  const at::Device chosen = choose_device(device, "device", place);
  return chosen.is_cuda() ? chosen.str() : device;
}

std::string last_line(const fs::path& log) {
  std::ifstream file(log);
  std::string line;
  std::string last = "it printed no message";
  while (std::getline(file, line)) {
    last = line.empty() ? last : line;
  }
  return last;
}

}  // namespace

RunSupervisor::RunSupervisor(const SweepConfig& config, const JobPlace& place)
    : config_(config), trainer_(find_trainer()), device_(device_for_runs(config.train.device, place)) {}

bool RunSupervisor::is_running(const Cell& cell) const {
  return std::any_of(running_.begin(), running_.end(), [&](const Run& run) { return run.cell == cell; });
}

std::vector<Cell> RunSupervisor::running() const {
  std::vector<Cell> cells;
  std::transform(running_.begin(), running_.end(), std::back_inserter(cells), [](const Run& run) { return run.cell; });
  return cells;
}

void RunSupervisor::start(const Cell& cell) {
  TrainConfig train = cell_config(config_, cell);
  train.device = device_;
  if (train.threads == 0) {
    train.threads = std::max<int64_t>(1, at::get_num_threads() / config_.jobs);
  }
  const fs::path folder = cell_folder(config_, cell);
  make_folder(folder);
  const fs::path file = folder / "config.toml";
  write_config_file(file, train_fields(train));
  ++attempts_[folder.string()];
  running_.push_back({cell, ChildProcess({trainer_.string(), file.string(), "--resume"}, folder / "log.txt")});
}

std::vector<RunSupervisor::EndedRun> RunSupervisor::collect_ended() {
  std::vector<EndedRun> ended;
  for (auto run = running_.begin(); run != running_.end();) {
    if (const auto status = run->process.poll()) {
      ended.push_back({run->cell, *status});
      run = running_.erase(run);
    } else {
      ++run;
    }
  }
  return ended;
}

bool RunSupervisor::may_retry(const EndedRun& run) const {
  constexpr int usage_error = 2;
  constexpr int max_attempts = 2;
  return run.status != usage_error && attempts_.at(cell_folder(config_, run.cell).string()) < max_attempts;
}

void RunSupervisor::terminate_all() const {
  for (const Run& run : running_) {
    run.process.terminate();
  }
}

RunningCell read_progress(const SweepConfig& config, const Cell& cell) {
  RunningCell running{cell, 0, config.train.steps, std::numeric_limits<double>::quiet_NaN()};
  try {
    const RunFileReader run(run_file_in(cell_folder(config, cell)));
    const int64_t rows = run.describe("/train/loss").shape.front();
    if (rows > 0) {
      running.step = rows;
      running.loss = run.read_rows<double>("/train/loss", rows - 1, 1).values.front();
    }
  } catch (const std::exception&) {
    // The file does not exist yet, or is being replaced.
  }
  return running;
}

std::string failure_message(const SweepConfig& config, const RunSupervisor::EndedRun& run) {
  return run.status > 128 ? fmt::format("ended by signal {}", run.status - 128)
                          : last_line(cell_folder(config, run.cell) / "log.txt");
}

}  // namespace hessian::experiments
