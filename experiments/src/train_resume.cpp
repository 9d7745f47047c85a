#include "train_resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ranges>
#include <stdexcept>
#include <string_view>

#include "experiments/log.h"

namespace experiments {
namespace {

/// Keys that may change when a run goes on: where it runs and what it keeps, but nothing that it computes.
bool may_change(const std::string& key) {
  constexpr auto free = std::to_array<std::string_view>({"out", "device", "threads"});
  return std::ranges::find(free, key) != free.end() || key.starts_with("checkpoint.");
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
  for (const auto& path : checkpoints.list() | std::views::reverse) {
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

void replay_losses(const RunFileReader& run, int64_t step, DivergenceMonitor& monitor) {
  const auto steps = run.read<int64_t>("/train/step").values;
  const auto losses = run.read<double>("/train/loss").values;
  const auto norms = run.read<double>("/train/grad_norm").values;
  for (std::size_t i = 0; i < std::min({steps.size(), losses.size(), norms.size()}) && steps[i] <= step; ++i) {
    monitor.observe(steps[i], losses[i], norms[i]);
  }
}

}  // namespace experiments
