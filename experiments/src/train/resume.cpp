#include "train/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>

#include "program/log.h"

namespace hessian::experiments {
namespace {

/// Keys that may change when a run goes on: where it runs and what it keeps, but nothing that it computes.
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
      throw std::invalid_argument(fmt::format(
          "{}: was made with {} = {}, the run is asked for {}; go on with the same configuration or --overwrite", path,
          now[i].key, value_text(before[i]), value_text(now[i])));
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
      log_warning(std::string(error.what()) + "; going on from the one before");
    }
  }
  return std::nullopt;
}

ReplayedRun replay_run(const std::filesystem::path& run_file, int64_t step, DivergenceMonitor& monitor) {
  const RunFileReader run(run_file);
  const auto steps = run.read<int64_t>("/train/step").values;
  const auto losses = run.read<double>("/train/loss").values;
  const auto norms = run.read<double>("/train/grad_norm").values;
  const auto recorded = static_cast<int64_t>(std::min({steps.size(), losses.size(), norms.size()}));
  if (recorded < step) {
    throw std::runtime_error(fmt::format(
        "{}: records {} steps, fewer than the {} of the checkpoint beside it; use --overwrite to begin anew",
        run_file.string(), recorded, step));
  }
  ReplayedRun replayed;
  for (std::size_t i = 0; i < static_cast<std::size_t>(step); ++i) {
    monitor.observe(steps[i], losses[i], norms[i]);
    replayed.loss = losses[i];
  }
  const auto validation_steps = run.read<int64_t>("/train/val_step").values;
  const auto validation_losses = run.read<double>("/train/val_loss").values;
  for (std::size_t i = 0; i < std::min(validation_steps.size(), validation_losses.size()); ++i) {
    if (validation_steps[i] >= 0 && validation_steps[i] <= step) {
      replayed.validation_loss = validation_losses[i];
    }
  }
  return replayed;
}

}  // namespace hessian::experiments
