#include "reproduce/step_times.h"

#include <chrono>
#include <utility>

#include "config/device_option.h"
#include "program/seconds_since.h"
#include "program/statistics.h"
#include "run_file/columns.h"
#include "sweep/cells.h"
#include "train/setup.h"

namespace hessian::experiments {
namespace {

double seconds_of_update(Training& training) {
  const auto start = std::chrono::steady_clock::now();
  training.update();
  return seconds_since(start);
}

}  // namespace

Training fresh_training(const TrainConfig& config, const ProcessGroup& group) {
  const models::GptConfig architecture = architecture_of(config);
  return {config, initial_model(config), open_training_data(config, architecture),
          choose_device(config.device, "device", group.place()), group};
}

std::vector<StepTime> measure_step_times(const StepTimesOptions& options,
                                         const std::function<void(int64_t done, int64_t total)>& progress) {
  std::vector<Training> trainings;
  for (const TrainConfig& config : options.configs) {
    trainings.push_back(fresh_training(config));
    for (int i = 0; i < 3; ++i) {
      trainings.back().update();  // the first ones allocate memory
    }
  }
  std::vector<StepTime> times;
  const auto total = static_cast<int64_t>(trainings.size()) * options.rounds;
  for (int64_t round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < trainings.size(); ++i) {
      std::vector<double> seconds;
      for (double spent = 0; spent < options.seconds; spent += seconds.back()) {
        seconds.push_back(seconds_of_update(trainings[i]));
      }
      times.push_back({model_label(options.configs[i]), round, median(std::move(seconds))});
      progress(static_cast<int64_t>(times.size()), total);
    }
  }
  return times;
}

void write_step_times(const std::filesystem::path& path, const RunInfo& info, const std::vector<StepTime>& times) {
  Columns table(times.size());
  table.add("/step_times/model", column(times, [](const StepTime& t) { return t.model; }), "1", "model of each row");
  table.add("/step_times/round", column(times, [](const StepTime& t) { return t.round; }), "1",
            "round, in which every model is timed once");
  table.add("/step_times/step_seconds", column(times, [](const StepTime& t) { return t.step_seconds; }), "s",
            "median time of a training step");
  write_tables(path, info, {table}, true);
}

}  // namespace hessian::experiments
