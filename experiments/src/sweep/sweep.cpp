#include "sweep/sweep.h"

#include <chrono>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "distributed/process_group.h"
#include "program/interrupt.h"
#include "sweep/cell_results.h"
#include "sweep/claims.h"
#include "sweep/folder_lock.h"
#include "sweep/supervisor.h"
#include "train/existing_run.h"
#include "train/setup.h"

namespace hessian::experiments {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

/// Does one process's work on a sweep. Each process of the job claims a cell whenever it has a free slot, and reads the
/// outcome of the others' runs from their run files. The first process writes the table and reports the progress.
class Sweep {
 public:
  Sweep(const SweepOptions& options, SweepObserver& observer, const ProcessGroup& group)
      : options_(options),
        config_(options.config),
        observer_(observer),
        is_first_(group.is_first()),
        supervisor_(config_, group.place()),
        claims_(config_, group),
        results_(config_) {}

  SweepOutcome run() {
    add_wanted_cells();
    write_table();
    while (!claims_.interrupted()) {
      add_wanted_cells();
      start_runs();
      if (supervisor_.is_idle() && results_.done() == results_.wanted()) {
        write_table();
        return {make_table(config_, results_.all()), false};
      }
      std::this_thread::sleep_for(100ms);
      record_own_runs();
      if (std::chrono::steady_clock::now() - last_report_ >= 500ms) {
        last_report_ = std::chrono::steady_clock::now();
        record_runs_of_others();
        report_progress();
      }
    }
    stop_runs();
    return {make_table(config_, results_.all()), true};
  }

 private:
  void add_wanted_cells() {
    for (const Cell& cell : results_.add_wanted()) {
      // Another process may have found that the cell is needed, and finished it, before this one did.
      if (!results_.is_pending(cell) && claims_.was_started(cell)) {
        report_end(results_.of(cell), "");
      }
    }
  }

  void start_runs() {
    for (const Cell& cell : results_.cells()) {
      if (!supervisor_.has_free_slot()) {
        return;
      }
      if (results_.is_pending(cell) && !supervisor_.is_running(cell) && claims_.claim(cell)) {
        claims_.announce_start(cell);
        supervisor_.start(cell);
      }
    }
  }

  void record_own_runs() {
    for (const RunSupervisor::EndedRun& run : supervisor_.collect_ended()) {
      CellResult result = read_result(config_, run.cell);
      std::string message;
      if (result.status == CellStatus::pending) {
        if (InterruptGuard::requested() || supervisor_.may_retry(run)) {
          continue;  // not finished: will be started again
        }
        result.status = CellStatus::failed;
        message = failure_message(config_, run);
        claims_.announce_failure(run.cell, message);
      }
      record(result, message);
    }
  }

  void record_runs_of_others() {
    for (const Cell& cell : unfinished_of_others()) {
      CellResult result = read_result(config_, cell);
      const auto failure = claims_.failure(cell);
      if (failure && result.status == CellStatus::pending) {
        result.status = CellStatus::failed;
      }
      if (result.status != CellStatus::pending) {
        record(result, failure.value_or(""));
      }
    }
  }

  /// Returns the cells that other processes have claimed and whose end is not recorded yet.
  std::vector<Cell> unfinished_of_others() const {
    std::vector<Cell> cells;
    for (const Cell& cell : results_.cells()) {
      if (claims_.belongs_to_other(cell) && results_.is_pending(cell)) {
        cells.push_back(cell);
      }
    }
    return cells;
  }

  void record(const CellResult& result, const std::string& message) {
    results_.set(result);
    add_wanted_cells();  // the result may make further cells necessary
    write_table();
    report_end(result, message);
  }

  void report_end(const CellResult& result, const std::string& message) {
    if (is_first_) {
      observer_.ended(result, message, results_.done(), results_.wanted());
    }
  }

  void report_progress() {
    if (!is_first_) {
      return;
    }
    std::vector<RunningCell> running;
    for (const std::vector<Cell>& cells : {unfinished_of_others(), supervisor_.running()}) {
      for (const Cell& cell : cells) {
        running.push_back(read_progress(config_, cell));
      }
    }
    observer_.progress(running, results_.done(), results_.wanted());
  }

  /// Ends this process's runs after they have saved a checkpoint.
  void stop_runs() {
    supervisor_.terminate_all();
    while (!supervisor_.is_idle()) {
      std::this_thread::sleep_for(20ms);
      record_own_runs();
    }
    write_table();
  }

  void write_table() const {
    if (!is_first_) {
      return;
    }
    const SweepTable table = make_table(config_, results_.all());
    write_sweep_file(sweep_file(config_), config_, options_.command_line, table, is_finished(table));
  }

  const SweepOptions& options_;
  const SweepConfig& config_;
  SweepObserver& observer_;
  bool is_first_;
  RunSupervisor supervisor_;
  CellClaims claims_;
  CellResults results_;
  std::chrono::steady_clock::time_point last_report_;
};

/// Removes the runs of a sweep that is to be replaced.
void remove_runs(const SweepConfig& config) {
  for (const std::string& model : config.models) {
    fs::remove_all(fs::path(config.train.out) / model_label(config, model));
  }
}

/// Returns the results of a sweep that has not been started.
std::vector<CellResult> no_results(const SweepConfig& config) {
  std::vector<CellResult> results;
  for (const Cell& cell : grid_cells(config)) {
    results.push_back({cell, CellStatus::pending, {}});
  }
  return results;
}

/// Opens the data of each model that has runs left, so that what is wrong with it is found once, before the first run.
void check_data(const SweepOptions& options) {
  const SweepConfig& config = options.config;
  const bool keeps_results = options.existing == ExistingRun::resume;
  std::set<std::string> checked;
  for (const CellResult& result : keeps_results ? read_results(config, CellStatus::pending) : no_results(config)) {
    if (result.status == CellStatus::pending && checked.insert(result.cell.model).second) {
      check_training_data(cell_config(config, result.cell));
    }
  }
}

}  // namespace

SweepOutcome run_sweep(const SweepOptions& options, SweepObserver& observer) {
  const SweepConfig& config = options.config;
  const ProcessGroup group = ProcessGroup::join(job_place(), at::kCPU);
  std::optional<FolderLock> lock;
  if (group.is_first()) {
    if (options.existing == ExistingRun::refuse) {
      refuse_existing(sweep_file(config));
    }
    check_data(options);
    make_folder(config.train.out);
    lock.emplace(config.train.out);
    if (options.existing == ExistingRun::replace) {
      remove_runs(config);
    }
  }
  group.barrier();
  return Sweep(options, observer, group).run();
}

}  // namespace hessian::experiments
