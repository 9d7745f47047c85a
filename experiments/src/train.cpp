#include "experiments/train.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "device_option.h"
#include "experiments/interrupt.h"
#include "experiments/output_file.h"
#include "experiments/program.h"
#include "experiments/run_summary.h"
#include "hessian/device.h"
#include "hessian/memory.h"
#include "models/checkpoint.h"
#include "models/named_models.h"
#include "train_checkpoints.h"
#include "train_probe.h"
#include "train_resume.h"
#include "train_writer.h"
#include "training.h"
#include "update_rms.h"

namespace experiments {
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
  info.model = models::config_to_json(architecture);
  return info;
}

/// Whether something that happens every `every` steps, and at the end, happens after this one.
bool is_due(int64_t every, int64_t step, int64_t last) {
  return every > 0 && (step % every == 0 || step == last);
}

/// One run from its start, or from its last checkpoint, to its end.
class Run {
 public:
  Run(const TrainOptions& options, at::Device device)
      : options_(options),
        config_(options.config),
        folder_(config_.out),
        checkpoints_(folder_, config_.checkpoint.keep),
        checkpoint_(options.existing == ExistingRun::resume ? find_checkpoint(checkpoints_, config_) : std::nullopt),
        model_(checkpoint_ ? checkpoint_->contents.model : starting_model(config_)),
        training_(config_, model_, training_data(config_, model_.config), device),
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

  TrainReport to_end(const std::function<void(const TrainProgress&)>& progress) {
    const hessian::MemoryScope memory;
    TrainWriter writer = open_run_file();
    if (training_.step() == 0 && probe_ && report_.checkpoint.empty()) {
      probe_->run(training_, writer);
    }
    start_ = Clock::now();
    while (training_.step() < config_.steps && !is_over()) {
      update(writer);
      if (progress) {
        progress(state());
      }
    }
    finish(writer, memory.peak_bytes());
    return report_;
  }

 private:
  TrainWriter open_run_file() {
    make_folder(folder_);
    if (checkpoint_) {
      training_.restore(checkpoint_->contents, checkpoint_->path.string());
      report_.resumed_from = training_.step();
      report_.step = training_.step();
      report_.checkpoint = checkpoint_->path;
      const ReplayedRun replayed = replay_run(report_.run_file, training_.step(), monitor_);
      report_.loss = replayed.loss;
      report_.validation_loss = replayed.validation_loss;
      report_.divergence = monitor_.verdict();
      checkpoint_.reset();
      return TrainWriter::continue_from(report_.run_file, info_, layout_, training_.step());
    }
    const bool overwrite = options_.existing != ExistingRun::refuse;
    TrainWriter writer = TrainWriter::create(report_.run_file, info_, layout_, overwrite);
    checkpoints_.remove_all();  // those of the run that is replaced
    return writer;
  }

  bool is_over() {
    report_.interrupted = InterruptGuard::requested();
    return report_.interrupted || (report_.divergence && config_.stop_when_diverged);
  }

  void update(TrainWriter& writer) {
    const int64_t step = training_.step() + 1;
    const bool measures_update = is_due(config_.log.update_every, step, config_.steps);
    if (measures_update) {
      updates_.remember();
    }
    const auto start = Clock::now();
    const UpdateRecord record = training_.update();
    const double seconds = seconds_since(start);
    training_seconds_ += seconds;
    report_.step = step;
    report_.loss = record.loss;
    writer.write_update(step, training_.tokens_per_update(), record, seconds);
    if (measures_update) {
      const UpdateRms::Values values = updates_.measure();
      writer.write_update_rms(step, values.update, values.parameter);
    }
    report_.divergence = monitor_.observe(step, record.loss, record.grad_norm);
    look_at_model(writer, step);
    writer.flush_now_and_then();
    if (is_due(config_.checkpoint.every, step, config_.steps)) {
      save(writer);
    }
  }

  /// Validation and probe, as far as they are due and the weights are numbers.
  void look_at_model(TrainWriter& writer, int64_t step) {
    // A run that ends here ends with a validation.
    const int64_t last = report_.divergence && config_.stop_when_diverged ? step : config_.steps;
    const bool validates = is_due(config_.validation.every, step, last);
    const bool probes = probe_ && is_due(config_.probe.every, step, config_.steps);
    if (!(validates || probes) || !training_.weights_are_finite()) {
      return;
    }
    if (validates) {
      report_.validation_loss = training_.validate();
      writer.write_validation(step, report_.validation_loss);
    }
    if (probes) {
      probe_->run(training_, writer);
    }
  }

  /// Weights that hold numbers no more are of no use to anyone.
  void save(TrainWriter& writer) {
    if (!training_.weights_are_finite()) {
      return;
    }
    writer.flush();  // so that no checkpoint is ahead of the run file
    report_.checkpoint = checkpoints_.save(training_.checkpoint(info_.config));
  }

  void finish(TrainWriter& writer, int64_t peak_memory_bytes) {
    report_.tokens_per_second = tokens_per_second();
    if (report_.interrupted) {
      if (config_.checkpoint.every > 0) {
        save(writer);
      }
      writer.flush();
      return;
    }
    report_.divergence = monitor_.finish();
    writer.finish(peak_memory_bytes);
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
  TrainReport report_;
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

}  // namespace

std::filesystem::path run_file_in(const std::filesystem::path& folder) {
  return folder / "run.h5";
}

TrainReport run_training(const TrainOptions& options, const std::function<void(const TrainProgress&)>& progress) {
  if (options.config.threads > 0) {
    at::set_num_threads(static_cast<int>(options.config.threads));
  }
  const at::Device device = choose_device(options.config.device, "device");
  const std::filesystem::path run_file = run_file_in(options.config.out);
  if (options.existing == ExistingRun::resume && std::filesystem::exists(run_file)) {
    if (const auto report = report_of_finished(run_file, options.config)) {
      return *report;
    }
  }
  if (options.existing == ExistingRun::refuse) {
    refuse_existing(options.config, run_file);
  }
  return Run(options, device).to_end(progress);
}

}  // namespace experiments
