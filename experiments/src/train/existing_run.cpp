#include "train/existing_run.h"

#include <stdexcept>

#include "train/checkpoints.h"
#include "train/resume.h"
#include "train/run_summary.h"

namespace hessian::experiments {
namespace {

std::filesystem::path last_checkpoint(const TrainConfig& config) {
  const auto checkpoints = TrainCheckpoints(config.out, config.checkpoint.keep).list();
  return checkpoints.empty() ? std::filesystem::path() : checkpoints.back();
}

/// Returns the report of a recorded run, or nothing if it is not finished.
/// \throws std::invalid_argument  if it belongs to a configuration that trains differently
std::optional<TrainReport> report_if_finished(const std::filesystem::path& run_file, const TrainConfig& config) {
  const RunSummary summary = summarise_run(run_file);
  check_same_run(summary.config, config, run_file.string());
  if (!summary.finished) {
    return std::nullopt;
  }
  TrainReport report;
  report.run_file = run_file;
  report.checkpoint = last_checkpoint(config);
  report.step = summary.step;
  report.resumed_from = summary.step;
  report.loss = summary.loss;
  report.validation_loss = summary.validation_loss;
  report.divergence = summary.divergence;
  report.tokens_per_second = summary.tokens_per_second;
  return report;
}

}  // namespace

void refuse_existing(const std::filesystem::path& file) {
  if (std::filesystem::exists(file)) {
    throw std::runtime_error(file.string() +
                             ": already exists; use --resume to continue it or --overwrite to replace it");
  }
}

std::optional<TrainReport> find_finished_run(const TrainOptions& options) {
  const std::filesystem::path run_file = run_file_in(options.config.out);
  if (options.existing == ExistingRun::refuse) {
    refuse_existing(run_file);
    const std::filesystem::path checkpoint = last_checkpoint(options.config);
    if (!checkpoint.empty()) {
      throw std::runtime_error(checkpoint.string() +
                               ": a checkpoint without its run.h5; use --overwrite to replace it, or another 'out'");
    }
  }
  const bool resumes = options.existing == ExistingRun::resume && std::filesystem::exists(run_file);
  return resumes ? report_if_finished(run_file, options.config) : std::nullopt;
}

}  // namespace hessian::experiments
