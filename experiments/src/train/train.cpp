#include "train/train.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "config/device_option.h"
#include "distributed/process_group.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"
#include "program/interrupt.h"
#include "program/program.h"
#include "run_file/output_file.h"
#include "train/checkpoints.h"
#include "train/probe.h"
#include "train/resume.h"
#include "train/run_summary.h"
#include "train/training.h"
#include "train/update_rms.h"
#include "train/writer.h"

namespace hessian::experiments {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

models::Model starting_model(const TrainConfig& config) {
  if (models::is_model_name(config.model.name)) {
    return models::initialise_model(architecture_of(config), static_cast<uint64_t>(config.seed));
  }
  return models::load_checkpoint(config.model.name).model;
}

models::TrainingData training_data(const TrainConfig& config, const models::GptConfig& architecture) {
  if (config.data.seq_len > architecture.max_seq_len) {
    throw std::invalid_argument(fmt::format("data.seq_len {} is longer than the {} positions of {}",
                                            config.data.seq_len, architecture.max_seq_len, config.model.name));
  }
  models::TrainingDataOptions options;
  options.source = config.data.source;
  options.seq_len = config.data.seq_len;
  options.vocab_size = architecture.vocab_size;
  options.accept_larger_vocab = models::is_model_name(config.model.name);
  options.seed = static_cast<uint64_t>(config.seed);
  return models::TrainingData::open(options);
}

RunInfo run_info(const TrainOptions& options, const models::GptConfig& architecture, at::Device device) {
  TrainConfig config = options.config;
  RunInfo info;
  info.program = "hessian-train";
  info.command_line = options.command_line;
  info.git_commit = git_commit();
  info.seed = static_cast<uint64_t>(config.seed);
  info.device = hessian::describe_device(device);
  info.dtype = config.dtype;
  info.config = write_config(train_fields(config));
  info.model = models::labelled_config_json(architecture);
  return info;
}

/// Whether something that happens every `every` steps, and at the end, happens after this one.
bool is_due(int64_t every, int64_t step, int64_t last) {
  return every > 0 && (step % every == 0 || step == last);
}

/// One run from its start, or from its last checkpoint, to its end.
class Run {
 public:
  Run(const TrainOptions& options, at::Device device, const ProcessGroup& group)
      : options_(options),
        config_(options.config),
        group_(group),
        folder_(config_.out),
        checkpoints_(folder_, config_.checkpoint.keep),
        checkpoint_(options.existing == ExistingRun::resume ? agreed_checkpoint() : std::nullopt),
        model_(checkpoint_ ? checkpoint_->contents.model : starting_model(config_)),
        training_(config_, model_, training_data(config_, model_.config), device, group),
        updates_(training_.forward().parameters()),
        monitor_(divergence_of(config_)),
        info_(run_info(options, model_.config, device)) {
    layout_.sharpness = config_.probe.sharpness;
    if (config_.log.update_every > 0) {
      layout_.update_groups = updates_.groups();
    }
    if (config_.probe.every > 0) {
      probe_.emplace(config_, training_, device);
      layout_.probe = probe_->layout();
    }
    report_.run_file = run_file_in(folder_);
    report_.validation_loss = std::numeric_limits<double>::quiet_NaN();
  }

  /// \param memory  began before anything was loaded
  TrainReport to_end(const hessian::MemoryScope& memory, const std::function<void(const TrainProgress&)>& progress) {
    begin();
    if (training_.step() == 0 && probe_ && report_.checkpoint.empty()) {
      probe_->run(training_, writer_);
    }
    start_ = Clock::now();
    while (training_.step() < config_.steps && !is_over()) {
      update();
      if (progress && group_.is_first()) {
        progress(state());
      }
    }
    finish(memory.peak_bytes());
    return report_;
  }

 private:
  /// The last checkpoint that the first process can read; the others read the same.
  std::optional<FoundCheckpoint> agreed_checkpoint() const {
    auto found = group_.is_first() ? find_checkpoint(checkpoints_, config_) : std::nullopt;
    const std::string path = group_.take_first(found ? found->path.string() : "");
    if (!path.empty() && !found) {
      found = FoundCheckpoint{path, models::load_training_checkpoint(path)};
    }
    return found;
  }

  /// Restores what a checkpoint holds, and opens the run file, which the first process alone writes.
  void begin() {
    if (checkpoint_) {
      training_.restore(checkpoint_->contents, checkpoint_->path.string());
      report_.resumed_from = training_.step();
      report_.step = training_.step();
      report_.checkpoint = checkpoint_->path;
      checkpoint_.reset();
    }
    if (group_.is_first()) {
      writer_ = open_run_file();
    }
    agree_on_divergence();
  }

  TrainWriter open_run_file() {
    make_folder(folder_);
    if (!report_.checkpoint.empty()) {
      const ReplayedRun replayed = replay_run(report_.run_file, training_.step(), monitor_);
      report_.loss = replayed.loss;
      report_.validation_loss = replayed.validation_loss;
      report_.divergence = monitor_.verdict();
      return TrainWriter::continue_from(report_.run_file, info_, layout_, training_.step());
    }
    const bool overwrite = options_.existing != ExistingRun::refuse;
    TrainWriter writer = TrainWriter::create(report_.run_file, info_, layout_, overwrite);
    checkpoints_.remove_all();  // those of the run that is replaced
    return writer;
  }

  /// Whether the run stops before its last step; the first process alone watches for divergence.
  bool is_over() {
    report_.interrupted = group_.any(InterruptGuard::requested());
    return report_.interrupted || ends_diverged_;
  }

  /// After every change of the first process's verdict.
  void agree_on_divergence() { ends_diverged_ = group_.any(report_.divergence && config_.stop_when_diverged); }

  void update() {
    const int64_t step = training_.step() + 1;
    const bool measures_update = writer_ && is_due(config_.log.update_every, step, config_.steps);
    if (measures_update) {
      updates_.remember();
    }
    const auto start = Clock::now();
    const UpdateRecord record = training_.update();
    const double seconds = seconds_since(start);
    training_seconds_ += seconds;
    report_.step = step;
    report_.loss = record.loss;
    if (writer_) {
      writer_->write_update(step, training_.tokens_per_update(), record, seconds);
      report_.divergence = monitor_.observe(step, record.loss, record.grad_norm);
    }
    if (measures_update) {
      const UpdateRms::Values values = updates_.measure();
      writer_->write_update_rms(step, values.update, values.parameter);
    }
    agree_on_divergence();
    look_at_model(step);
    if (writer_) {
      writer_->flush_now_and_then();
    }
    if (is_due(config_.checkpoint.every, step, config_.steps)) {
      save();
    }
  }

  /// Validation and probe, as far as they are due and the weights are numbers.
  void look_at_model(int64_t step) {
    // A run that ends here ends with a validation.
    const int64_t last = ends_diverged_ ? step : config_.steps;
    const bool validates = is_due(config_.validation.every, step, last);
    const bool probes = probe_ && is_due(config_.probe.every, step, config_.steps);
    if (!(validates || probes) || !training_.weights_are_finite()) {
      return;
    }
    if (validates) {
      report_.validation_loss = training_.validate();
      if (writer_) {
        writer_->write_validation(step, report_.validation_loss);
      }
    }
    if (probes) {
      probe_->run(training_, writer_);
    }
  }

  /// Weights that hold numbers no more are of no use to anyone.
  void save() {
    if (!training_.weights_are_finite()) {
      return;
    }
    const models::TrainingCheckpoint checkpoint = training_.checkpoint(info_.config);
    if (writer_) {
      writer_->flush();  // so that no checkpoint is ahead of the run file
      report_.checkpoint = checkpoints_.save(checkpoint);
    }
  }

  void finish(int64_t peak_memory_bytes) {
    report_.tokens_per_second = tokens_per_second();
    if (report_.interrupted && config_.checkpoint.every > 0) {
      save();
    }
    if (!writer_) {
      return;
    }
    if (report_.interrupted) {
      writer_->flush();
      return;
    }
    report_.divergence = monitor_.finish();
    writer_->finish(peak_memory_bytes);
  }

  double tokens_per_second() const {
    const auto tokens = static_cast<double>((report_.step - report_.resumed_from) * training_.tokens_per_update());
    return training_seconds_ > 0 ? tokens / training_seconds_ : 0.0;
  }

  TrainProgress state() const {
    const double left = seconds_since(start_) / static_cast<double>(report_.step - report_.resumed_from) *
                        static_cast<double>(config_.steps - report_.step);
    return {report_.step, config_.steps, report_.loss, tokens_per_second(), left};
  }

  const TrainOptions& options_;
  const TrainConfig& config_;
  ProcessGroup group_;
  std::filesystem::path folder_;
  TrainCheckpoints checkpoints_;
  std::optional<FoundCheckpoint> checkpoint_;
  models::Model model_;
  Training training_;
  UpdateRms updates_;
  DivergenceMonitor monitor_;
  RunInfo info_;
  TrainLayoutOptions layout_;
  std::optional<TrainProbe> probe_;
  std::optional<TrainWriter> writer_;  // in the first process
  TrainReport report_;
  bool ends_diverged_ = false;  // the same in every process
  Clock::time_point start_ = Clock::now();
  double training_seconds_ = 0;
};

/// What a run that is finished already came to.
/// \throws std::invalid_argument  if it is a run of another configuration
std::optional<TrainReport> report_of_finished(const std::filesystem::path& run_file, const TrainConfig& config) {
  const RunSummary summary = summarise_run(run_file);
  check_same_run(summary.config, config, run_file.string());
  if (!summary.finished) {
    return std::nullopt;
  }
  TrainReport report;
  report.run_file = run_file;
  report.step = summary.step;
  report.resumed_from = summary.step;
  report.loss = summary.loss;
  report.validation_loss = summary.validation_loss;
  report.divergence = summary.divergence;
  report.tokens_per_second = summary.tokens_per_second;
  const auto checkpoints = TrainCheckpoints(config.out, config.checkpoint.keep).list();
  report.checkpoint = checkpoints.empty() ? std::filesystem::path() : checkpoints.back();
  return report;
}

void refuse_existing(const TrainConfig& config, const std::filesystem::path& run_file) {
  if (std::filesystem::exists(run_file)) {
    throw std::runtime_error(run_file.string() +
                             ": already exists; use --resume to go on with it or --overwrite to replace it");
  }
  const auto checkpoints = TrainCheckpoints(config.out, config.checkpoint.keep).list();
  if (!checkpoints.empty()) {
    throw std::runtime_error(
        checkpoints.back().string() +
        ": a checkpoint whose run.h5 is gone; use --overwrite to replace it or give another 'out'");
  }
}

/// What a run that is there already came to, if it is finished and nothing is left to do.
/// \throws std::invalid_argument, std::runtime_error  if it is in the way
std::optional<TrainReport> look_for_run(const TrainOptions& options) {
  const std::filesystem::path run_file = run_file_in(options.config.out);
  if (options.existing == ExistingRun::refuse) {
    refuse_existing(options.config, run_file);
  }
  const bool resumes = options.existing == ExistingRun::resume && std::filesystem::exists(run_file);
  return resumes ? report_of_finished(run_file, options.config) : std::nullopt;
}

}  // namespace

std::filesystem::path run_file_in(const std::filesystem::path& folder) {
  return folder / "run.h5";
}

TrainReport run_training(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress) {
  if (options.config.threads > 0) {
    at::set_num_threads(static_cast<int>(options.config.threads));
  }
  const hessian::MemoryScope memory;
  const JobPlace place = job_place();
  const at::Device device = choose_device(options.config.device, "device", place);
  const ProcessGroup group = ProcessGroup::join(place, device);
  std::optional<TrainReport> finished;
  if (group.is_first()) {
    finished = look_for_run(options);
  }
  if (group.any(finished.has_value())) {
    return finished.value_or(TrainReport{});
  }
  return Run(options, device, group).to_end(memory, progress);
}

}  // namespace hessian::experiments
