#include "sweep/sweep.h"

#include <ATen/Parallel.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <limits>
#include <list>
#include <map>
#include <optional>
#include <stdexcept>
#include <thread>

#include "config/device_option.h"
#include "distributed/process_group.h"
#include "hessian/run_file.h"
#include "io/atomic_file.h"
#include "program/child_process.h"
#include "program/interrupt.h"
#include "run_file/output_file.h"

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;

/// What a process tells the others under this name when it is interrupted.
const std::string interruption = "interrupted";

/// Holds the sweep's folder for one process; the kernel lets go of it however the process ends.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder)
      : descriptor_(::open((folder / "sweep.lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666)) {
    if (descriptor_ < 0 || ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const bool held = descriptor_ >= 0;
      if (held) {
        ::close(descriptor_);
      }
      throw std::runtime_error(folder.string() + (held ? ": another hessian-sweep works on it; wait for it or stop it"
                                                       : ": cannot be written to; choose another 'out'"));
    }
  }
  ~FolderLock() { ::close(descriptor_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

std::string last_line(const fs::path& log) {
  std::ifstream file(log);
  std::string line;
  std::string last = "it left no message";
  while (std::getline(file, line)) {
    last = line.empty() ? last : line;
  }
  return last;
}

/// Where a run is, as far as its file shows.
RunningCell look_at(const SweepConfig& config, const Cell& cell) {
  RunningCell running{cell, 0, config.train.steps, std::numeric_limits<double>::quiet_NaN()};
  try {
    const RunFileReader run(run_file_in(cell_folder(config, cell)));
    const int64_t rows = run.describe("/train/loss").shape.front();
    if (rows > 0) {
      running.step = rows;
      running.loss = run.read_rows<double>("/train/loss", rows - 1, 1).values.front();
    }
  } catch (const std::exception&) {
    // It has no file yet, or is just about to replace it.
  }
  return running;
}

/// The processes of a job share the cells: whoever has a place free claims the next one. Each learns from the run files what
/// the others' have come to; the first writes the table and reports.
class Sweep {
 public:
  Sweep(const SweepOptions& options, SweepObserver& observer, const ProcessGroup& group)
      : options_(options), config_(options.config), observer_(observer), group_(group), trainer_(find_trainer()) {}

  SweepOutcome run() {
    learn();
    write_table();
    while (!is_interrupted()) {
      learn();
      launch();
      if (running_.empty() && nothing_is_pending()) {
        write_table();
        return {make_table(config_, results()), false};
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      collect();
      look_around();
    }
    stop();
    return {make_table(config_, results()), true};
  }

 private:
  struct Running {
    Cell cell;
    ChildProcess process;
  };

  static fs::path find_trainer() {
    fs::path trainer = this_program().parent_path() / "hessian-train";
    if (::access(trainer.c_str(), X_OK) != 0) {
      throw std::runtime_error(trainer.string() + ": is not there; hessian-sweep starts it for each run");
    }
    return trainer;
  }

  /// The word for this process's device: its own GPU, where several processes share a machine.
  std::string device_of_process() const {
    const std::string& word = config_.train.device;
    if (group_.place().local_size == 1) {
      return word;  // which the runs understand themselves
    }
    const at::Device device = choose_device(word, "device", group_.place());
    return device.is_cuda() ? device.str() : word;
  }

  /// A signal to one process stops all.
  bool is_interrupted() const {
    if (InterruptGuard::requested()) {
      group_.tell(interruption, "");
      return true;
    }
    return group_.told(interruption).has_value();
  }

  bool nothing_is_pending() const { return done() == static_cast<int64_t>(results_.size()); }

  std::string key(const Cell& cell) const { return cell_folder(config_, cell).string(); }

  std::vector<CellResult> results() const {
    std::vector<CellResult> all;
    for (const auto& [key, result] : results_) {
      all.push_back(result);
    }
    return all;
  }

  /// Finds out which cells are wanted, and what is known of new ones. Another process may have thought of one earlier,
  /// and be done with it.
  void learn() {
    std::vector<Cell> done_by_others;
    for (std::size_t known = results_.size() + 1; known != results_.size();) {
      known = results_.size();
      for (const Cell& cell : wanted_cells(config_, results())) {
        if (!results_.contains(key(cell))) {
          const CellResult& result = results_.emplace(key(cell), read_result(config_, cell)).first->second;
          order_.push_back(cell);
          if (result.status != CellStatus::pending && group_.told(start_of(cell))) {
            done_by_others.push_back(cell);
          }
        }
      }
    }
    for (const Cell& cell : done_by_others) {
      report_end(results_.at(key(cell)), "");
    }
  }

  void launch() {
    for (const Cell& cell : order_) {
      if (static_cast<int64_t>(running_.size()) >= config_.jobs) {
        return;
      }
      if (results_.at(key(cell)).status == CellStatus::pending && !is_running(cell) && is_own(cell)) {
        start(cell);
      }
    }
  }

  /// Whether a cell is this process's to run; claims it if it is nobody's yet.
  bool is_own(const Cell& cell) {
    const auto known = own_.find(key(cell));
    return known != own_.end() ? known->second : own_.emplace(key(cell), group_.claim(key(cell))).first->second;
  }

  bool is_running(const Cell& cell) const {
    return std::any_of(running_.begin(), running_.end(), [&](const Running& run) { return run.cell == cell; });
  }

  void start(const Cell& cell) {
    TrainConfig train = cell_config(config_, cell);
    train.device = device_;
    if (train.threads == 0) {
      train.threads = std::max<int64_t>(1, at::get_num_threads() / config_.jobs);
    }
    const fs::path folder = cell_folder(config_, cell);
    make_folder(folder);
    const fs::path file = folder / "config.toml";
    const std::string text = write_config(train_fields(train));
    models::AtomicFile config_file(file.string());
    config_file.write(std::as_bytes(std::span(text)));
    config_file.commit();
    group_.tell(start_of(cell), "");
    ++attempts_[key(cell)];
    running_.push_back({cell, ChildProcess({trainer_.string(), file.string(), "--resume"}, folder / "log.txt")});
  }

  /// Takes note of the runs that have ended.
  void collect() {
    for (auto run = running_.begin(); run != running_.end();) {
      const auto status = run->process.poll();
      if (!status) {
        ++run;
        continue;
      }
      const Cell cell = run->cell;
      run = running_.erase(run);
      note_end(cell, *status);
    }
  }

  void note_end(const Cell& cell, int status) {
    constexpr int most_attempts = 2;
    CellResult result = read_result(config_, cell);
    std::string message;
    if (result.status == CellStatus::pending) {
      if (InterruptGuard::requested() || (status != 2 && attempts_[key(cell)] < most_attempts)) {
        return;  // it is wanted still
      }
      result.status = CellStatus::failed;
      message = status > 128 ? fmt::format("ended by signal {}", status - 128)
                             : last_line(cell_folder(config_, cell) / "log.txt");
      group_.tell(failure_of(cell), message);
    }
    take_note(result, message);
  }

  std::string start_of(const Cell& cell) const { return "started/" + key(cell); }
  std::string failure_of(const Cell& cell) const { return "failed/" + key(cell); }

  void take_note(const CellResult& result, const std::string& message) {
    results_.at(key(result.cell)) = result;
    learn();  // the result may call for more cells
    write_table();
    report_end(result, message);
  }

  void report_end(const CellResult& result, const std::string& message) {
    if (group_.is_first()) {
      observer_.ended(result, message, done(), static_cast<int64_t>(results_.size()));
    }
  }

  /// Takes note of the other processes' runs that have ended, and gives those that go on.
  std::vector<Cell> follow_others() {
    std::vector<Cell> going_on;
    const std::vector<Cell> cells = order_;  // learning may append to it
    for (const Cell& cell : cells) {
      const auto known = own_.find(key(cell));
      if (known == own_.end() || known->second || results_.at(key(cell)).status != CellStatus::pending) {
        continue;
      }
      CellResult result = read_result(config_, cell);
      const auto failure = group_.told(failure_of(cell));
      if (failure && result.status == CellStatus::pending) {
        result.status = CellStatus::failed;
      }
      if (result.status == CellStatus::pending) {
        going_on.push_back(cell);
      } else {
        take_note(result, failure.value_or(""));
      }
    }
    return going_on;
  }

  int64_t done() const {
    return std::count_if(results_.begin(), results_.end(),
                         [](const auto& entry) { return entry.second.status != CellStatus::pending; });
  }

  void look_around() {
    const auto now = std::chrono::steady_clock::now();
    if (now - last_report_ < std::chrono::milliseconds(500)) {
      return;
    }
    last_report_ = now;
    std::vector<Cell> going_on = follow_others();
    if (!group_.is_first()) {
      return;
    }
    for (const Running& run : running_) {
      going_on.push_back(run.cell);
    }
    std::vector<RunningCell> running;
    for (const Cell& cell : going_on) {
      running.push_back(look_at(config_, cell));
    }
    observer_.progress(running, done(), static_cast<int64_t>(results_.size()));
  }

  /// Lets the runs save what they have.
  void stop() {
    for (const Running& run : running_) {
      run.process.terminate();
    }
    while (!running_.empty()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      collect();
    }
    write_table();
  }

  void write_table() const {
    if (!group_.is_first()) {
      return;
    }
    const SweepTable table = make_table(config_, results());
    write_sweep_file(sweep_file(config_), config_, options_.command_line, table, is_finished(table));
  }

  const SweepOptions& options_;
  const SweepConfig& config_;
  SweepObserver& observer_;
  ProcessGroup group_;
  fs::path trainer_;
  std::string device_ = device_of_process();
  std::map<std::string, CellResult> results_;
  std::vector<Cell> order_;
  std::list<Running> running_;
  std::map<std::string, bool> own_;  // cells that somebody has claimed: whether it was this process
  std::map<std::string, int> attempts_;
  std::chrono::steady_clock::time_point last_report_;
};

/// Removes the runs of a sweep that is to be replaced.
void remove_runs(const SweepConfig& config) {
  for (const std::string& model : config.models) {
    fs::remove_all(fs::path(config.train.out) / model_label(config, model));
  }
}

}  // namespace

SweepOutcome run_sweep(const SweepOptions& options, SweepObserver& observer) {
  const SweepConfig& config = options.config;
  const ProcessGroup group = ProcessGroup::join(job_place(), at::kCPU);
  std::optional<FolderLock> lock;
  if (group.is_first()) {
    if (fs::exists(sweep_file(config)) && options.existing == ExistingRun::refuse) {
      throw std::runtime_error(sweep_file(config).string() +
                               ": already exists; use --resume to go on with it or --overwrite to replace it");
    }
    make_folder(config.train.out);
    lock.emplace(config.train.out);
    if (options.existing == ExistingRun::replace) {
      remove_runs(config);
    }
  }
  group.wait_for_all();
  return Sweep(options, observer, group).run();
}

SweepTable merge_sweep(const SweepOptions& options) {
  const SweepConfig& config = options.config;
  auto results = read_results(config, CellStatus::failed);
  for (CellResult& result : results) {
    std::error_code error;
    if (result.status == CellStatus::failed && !fs::exists(run_file_in(cell_folder(config, result.cell)), error)) {
      result.status = CellStatus::pending;  // it never began
    }
  }
  SweepTable table = make_table(config, std::move(results));
  make_folder(config.train.out);
  write_sweep_file(sweep_file(config), config, options.command_line, table, is_finished(table));
  return table;
}

}  // namespace hessian::experiments
