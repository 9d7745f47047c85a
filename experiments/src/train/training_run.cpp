#include "train/training_run.h"

#include <limits>
#include <string>
#include <vector>

#include "hessian/device.h"
#include "hessian/models/named_models.h"
#include "program/interrupt.h"
#include "program/log.h"
#include "program/seconds_since.h"
#include "run_file/output_file.h"
#include "train/folder_tokenizer.h"

namespace hessian::experiments {
namespace {

RunInfo run_info(const TrainOptions& options, const models::GptConfig& architecture, at::Device device) {
  TrainConfig config = options.config;
  RunInfo info = make_run_info("hessian-train", options.command_line);
  info.seed = static_cast<uint64_t>(config.seed);
  info.device = describe_device(device);
  info.dtype = config.dtype;
  info.config = write_config(train_fields(config));
  info.model = models::labelled_config_json(architecture);
  return info;
}

/// Returns what a checkpoint records of its data; nothing if there is no checkpoint, or it is an old one.
std::optional<models::DataRecord> record_of(const std::optional<FoundCheckpoint>& checkpoint) {
  if (!checkpoint || checkpoint->contents.state.data.empty()) {
    return std::nullopt;
  }
  return models::parse_data_record(checkpoint->contents.state.data, checkpoint->path.string());
}

/// Returns whether something that is done every `every` steps and after the last one is due after this step.
bool is_due(int64_t every, int64_t step, int64_t last) {
  return every > 0 && (step % every == 0 || step == last);
}

}  // namespace

TrainingRun::TrainingRun(const TrainOptions& options, at::Device device, const ProcessGroup& group)
    : options_(options),
      config_(options.config),
      group_(group),
      folder_(config_.out),
      checkpoints_(folder_, config_.checkpoint.keep),
      checkpoint_(options.existing == ExistingRun::resume ? find_common_checkpoint() : std::nullopt),
      model_(checkpoint_ ? checkpoint_->contents.model : initial_model(config_)),
      data_(open_run_data(config_, model_.config, record_of(checkpoint_))),
      training_(config_, model_, data_.sequences, device, group),
      update_rms_(training_.forward().parameters()),
      monitor_(divergence_of(config_)),
      info_(run_info(options, model_.config, device)) {
  layout_.sharpness = config_.probe.sharpness;
  if (config_.log.update_every > 0) {
    layout_.update_groups = update_rms_.groups();
  }
  if (config_.probe.every > 0) {
    probe_.emplace(config_, training_, device);
    layout_.probe = probe_->layout();
  }
  report_.run_file = run_file_in(folder_);
  report_.validation_loss = std::numeric_limits<double>::quiet_NaN();
}

TrainReport TrainingRun::run_to_end(const MemoryScope& memory,
                                    const std::function<void(const TrainProgress&)>& progress) {
  begin();
  if (training_.step() == 0 && probe_ && report_.checkpoint.empty()) {
    probe_->run(training_, writer_);
  }
  start_ = Clock::now();
  while (training_.step() < config_.steps && !should_stop()) {
    update();
    if (progress && group_.is_first()) {
      progress(current_progress());
    }
  }
  finish(memory.peak_bytes());
  return report_;
}

std::optional<FoundCheckpoint> TrainingRun::find_common_checkpoint() const {
  auto found = group_.is_first() ? find_checkpoint(checkpoints_, config_) : std::nullopt;
  const std::string path = group_.broadcast(found ? found->path.string() : "");
  if (!path.empty() && !found) {
    found = FoundCheckpoint{path, models::load_training_checkpoint(path)};
  }
  return found;
}

void TrainingRun::begin() {
  if (checkpoint_) {
    training_.restore(checkpoint_->contents, checkpoint_->path.string());
    report_.resumed_from = training_.step();
    report_.step = training_.step();
    report_.checkpoint = checkpoint_->path;
    checkpoint_.reset();
  }
  if (group_.is_first()) {
    writer_ = open_run_file();
    for (const std::string& warning : probe_ ? sharpness_warnings(config_) : std::vector<std::string>{}) {
      log_warning(warning);
    }
  }
  share_divergence();
}

TrainWriter TrainingRun::open_run_file() {
  make_folder(folder_);
  if (!report_.checkpoint.empty()) {
    const ReplayedRun replayed = replay_run(report_.run_file, training_.step(), monitor_);
    report_.loss = replayed.loss;
    report_.validation_loss = replayed.validation_loss;
    report_.divergence = monitor_.verdict();
    info_.data = models::to_json(data_.record);
    return TrainWriter::continue_from(report_.run_file, info_, layout_, training_.step());
  }
  const FolderTokenizer tokenizer = plan_folder_tokenizer(folder_, data_.tokenizer, recorded_data(folder_));
  data_.record.files = tokenizer.files;
  info_.data = models::to_json(data_.record);
  remove_old_files(tokenizer);
  const bool overwrite = options_.existing != ExistingRun::refuse;
  TrainWriter writer = TrainWriter::create(report_.run_file, info_, layout_, overwrite);
  checkpoints_.remove_all();  // those of the run that was replaced
  copy_new_files(tokenizer, folder_);
  return writer;
}

bool TrainingRun::should_stop() {
  report_.interrupted = group_.any(InterruptGuard::requested());
  return report_.interrupted || stops_diverged_;
}

void TrainingRun::share_divergence() {
  stops_diverged_ = group_.any(report_.divergence && config_.stop_when_diverged);
}

void TrainingRun::update() {
  const int64_t step = training_.step() + 1;
  const bool measures_rms = writer_ && is_due(config_.log.update_every, step, config_.steps);
  if (measures_rms) {
    update_rms_.remember();
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
  if (measures_rms) {
    const UpdateRms::Values values = update_rms_.measure();
    writer_->write_update_rms(step, values.update, values.parameter);
  }
  share_divergence();
  validate_and_probe(step);
  if (writer_) {
    writer_->flush_periodically();
  }
  if (is_due(config_.checkpoint.every, step, config_.steps)) {
    save_checkpoint();
  }
}

void TrainingRun::validate_and_probe(int64_t step) {
  // A run that stops because it has diverged ends with a validation, too.
  const int64_t last = stops_diverged_ ? step : config_.steps;
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

void TrainingRun::save_checkpoint() {
  if (!training_.weights_are_finite()) {
    return;
  }
  models::TrainingCheckpoint checkpoint = training_.checkpoint(info_.config);
  checkpoint.state.data = info_.data;
  if (writer_) {
    writer_->flush();  // the run file must never lack steps that a checkpoint has
    report_.checkpoint = checkpoints_.save(checkpoint);
  }
}

void TrainingRun::finish(int64_t peak_memory_bytes) {
  report_.tokens_per_second = tokens_per_second();
  if (report_.interrupted && config_.checkpoint.every > 0) {
    save_checkpoint();
  }
  if (!writer_) {
    return;
  }
  if (report_.interrupted) {
    writer_->flush();
    return;
  }
  report_.divergence = monitor_.finish();
  checkpoints_.remove_surplus();  // a process killed after saving a checkpoint may have left one too many
  writer_->finish(peak_memory_bytes);
}

double TrainingRun::tokens_per_second() const {
  const auto tokens = static_cast<double>((report_.step - report_.resumed_from) * training_.tokens_per_update());
  return training_seconds_ > 0 ? tokens / training_seconds_ : 0.0;
}

TrainProgress TrainingRun::current_progress() const {
  const double seconds_left = seconds_since(start_) / static_cast<double>(report_.step - report_.resumed_from) *
                              static_cast<double>(config_.steps - report_.step);
  return {report_.step, config_.steps, report_.loss, tokens_per_second(), seconds_left};
}

}  // namespace hessian::experiments
