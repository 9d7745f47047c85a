#include "train/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "program/log.h"
#include "train/curve.h"

namespace hessian::experiments {
namespace {

/// Returns whether a key may change when a run is resumed: only keys that do not affect what it computes.
bool may_change(const std::string& key) {
  constexpr auto free = std::to_array<std::string_view>({"out", "device", "threads"});
  return std::find(free.begin(), free.end(), key) != free.end() || key.starts_with("checkpoint.");
}

}  // namespace

void check_same_run(const std::string& config_text, TrainConfig config, const std::string& path) {
  TrainConfig recorded;
  const ConfigFields before = train_fields(recorded);
  read_config_text(config_text, path, before);
  const ConfigFields now = train_fields(config);
  for (std::size_t i = 0; i < now.size(); ++i) {
    if (!may_change(now[i].key) && value_text(now[i]) != value_text(before[i])) {
      throw std::invalid_argument(
          fmt::format("{}: was made with {} = {}, the run is asked for {}; use the same configuration or --overwrite",
                      path, now[i].key, value_text(before[i]), value_text(now[i])));
    }
  }
}

std::optional<FoundCheckpoint> find_checkpoint(const TrainCheckpoints& checkpoints, const TrainConfig& config) {
  auto paths = checkpoints.list();
  std::reverse(paths.begin(), paths.end());
  for (const auto& path : paths) {
    try {
      FoundCheckpoint found{path, models::load_training_checkpoint(path.string())};
      check_same_run(found.contents.state.config, config, path.string());
      return found;
    } catch (const std::invalid_argument&) {
      throw;
    } catch (const std::runtime_error& error) {
      log_warning(std::string(error.what()) + "; continuing from the one before it");
    }
  }
  return std::nullopt;
}

ReplayedRun replay_run(const std::filesystem::path& run_file, int64_t step, DivergenceMonitor& monitor) {
  const RunFileReader run(run_file);
  const TrainingCurve curve = read_training_curve(run);
  const auto rows = static_cast<std::size_t>(step);
  if (curve.steps.size() < rows) {
    throw std::runtime_error(fmt::format(
        "{}: records {} steps, fewer than the {} of the checkpoint next to it; use --overwrite to start again",
        run_file.string(), curve.steps.size(), step));
  }
  replay(curve, rows, monitor);
  ReplayedRun replayed;
  if (rows > 0) {
    replayed.loss = curve.losses[rows - 1];
  }
  replayed.validation_loss = last_validation(run, step).loss;
  return replayed;
}

}  // namespace hessian::experiments
