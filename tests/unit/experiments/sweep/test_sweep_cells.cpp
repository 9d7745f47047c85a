#include "sweep/cells.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include "refusal.h"
#include "sweep/slurm.h"
#include "train/train.h"
#include "train/writer.h"

namespace hessian::tests {
namespace {

using experiments::Cell;
using experiments::CellResult;
using experiments::CellStatus;
using experiments::SweepConfig;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::IsSubsetOf;

const std::vector<std::string> all_models = {"new:llama2-20M-prenorm", "new:llama2-20M-preqknorm",
                                             "new:llama2-20M-simplegpt"};

SweepConfig configured(double from, double to, double per_octave, double factor) {
  SweepConfig config;
  config.train.out = "sweep";
  config.models = {all_models[0]};
  config.seeds = {0};
  config.lr = {from, to, per_octave};
  config.factor = factor;
  return config;
}

/// Simulates training: returns the outcome of a run.
using Outcome = std::function<CellStatus(const Cell&)>;

/// Returns a simulation whose runs are stable up to a rate.
Outcome stable_up_to(double threshold) {
  return [threshold](const Cell& cell) { return cell.lr <= threshold ? CellStatus::stable : CellStatus::diverged; };
}

CellResult ended(const Cell& cell, CellStatus status) {
  return {cell, status, {}};
}

/// Cells as a set. The rates of equal cells have equal bits, since they are always computed in the same way.
using CellKey = std::tuple<std::string, double, int64_t>;

std::set<CellKey> keys_of(const std::vector<Cell>& cells) {
  std::set<CellKey> keys;
  for (const Cell& cell : cells) {
    keys.emplace(cell.model, cell.lr, cell.seed);
  }
  EXPECT_EQ(keys.size(), cells.size()) << "a cell occurs twice";
  return keys;
}

/// Runs the wanted cells one at a time in random order until none is left, and returns the results.
std::vector<CellResult> search(const SweepConfig& config, const Outcome& outcome, std::mt19937& generator) {
  std::vector<CellResult> results;
  for (int runs = 0; runs < 10000; ++runs) {
    std::vector<Cell> open;
    for (const Cell& cell : wanted_cells(config, results)) {
      if (std::ranges::none_of(results, [&](const CellResult& known) { return known.cell == cell; })) {
        open.push_back(cell);
      }
    }
    if (open.empty()) {
      return results;
    }
    const Cell cell = open[generator() % open.size()];
    results.push_back(ended(cell, outcome(cell)));
  }
  ADD_FAILURE() << "the search does not end";
  return results;
}

/// Runs the tasks of all stages, one stage after the other, as array jobs do.
std::vector<CellResult> run_in_stages(const SweepConfig& config, const Outcome& outcome) {
  std::vector<CellResult> results;
  for (const Cell& cell : grid_cells(config)) {
    results.push_back(ended(cell, outcome(cell)));
  }
  for (int round = 1; round <= rounds_of(config); ++round) {
    std::vector<CellResult> before = results;
    for (const std::string& model : config.models) {
      const auto rate = bisection_rate(config, model, round, before);
      for (const int64_t seed : config.seeds) {
        if (rate) {
          const Cell cell{model, *rate, seed, model_label(config, model)};
          results.push_back(ended(cell, outcome(cell)));
          before.push_back(results.back());  // tasks of a round see each other's results
        }
      }
    }
  }
  return results;
}

std::vector<Cell> cells_of(const std::vector<CellResult>& results) {
  std::vector<Cell> cells;
  std::ranges::transform(results, std::back_inserter(cells), &CellResult::cell);
  return cells;
}

double uniform(std::mt19937& generator, double low, double high) {
  return std::uniform_real_distribution(low, high)(generator);
}

SweepConfig random_config(std::mt19937& generator) {
  constexpr std::array spacings = {0.25, 0.5, 1.0, 2.0, 3.0};
  const double from = std::exp2(uniform(generator, -14, -6));
  SweepConfig config = configured(from, from * std::exp2(uniform(generator, 0, 8)),
                                  spacings.at(generator() % spacings.size()), uniform(generator, 1.02, 2.0));
  config.models.assign(all_models.begin(), all_models.begin() + 1 + static_cast<int>(generator() % 3));
  config.seeds.clear();
  for (int64_t seed = static_cast<int64_t>(generator() % 3); seed >= 0; --seed) {
    config.seeds.push_back(seed);
  }
  return config;
}

unsigned seed_of_tests() {
  const char* chosen = std::getenv("HESSIAN_TEST_SEED");
  return chosen != nullptr ? static_cast<unsigned>(std::strtoul(chosen, nullptr, 10)) : std::random_device()();
}

/// Calls a test with many random configurations.
void for_random_configurations(int count, const std::function<void(const SweepConfig&, std::mt19937&)>& test) {
  const unsigned first = seed_of_tests();
  for (unsigned seed = first; seed < first + static_cast<unsigned>(count); ++seed) {
    SCOPED_TRACE("HESSIAN_TEST_SEED=" + std::to_string(seed));
    std::mt19937 generator(seed);
    const SweepConfig config = random_config(generator);
    test(config, generator);
    if (testing::Test::HasFailure()) {
      return;
    }
  }
}

TEST(SweepCells, OfTheGridAreOrderedByModelThenRateThenSeed) {
  SweepConfig config = configured(1, 2, 1, 1.2);
  config.models = {"new:llama2-20M-simplegpt", "runs/ckpt.pt"};
  config.seeds = {3, 1};
  EXPECT_THAT(grid_cells(config),
              ElementsAre(Cell{"new:llama2-20M-simplegpt", 1, 3}, Cell{"new:llama2-20M-simplegpt", 1, 1},
                          Cell{"new:llama2-20M-simplegpt", 2, 3}, Cell{"new:llama2-20M-simplegpt", 2, 1},
                          Cell{"runs/ckpt.pt", 1, 3}, Cell{"runs/ckpt.pt", 1, 1}, Cell{"runs/ckpt.pt", 2, 3},
                          Cell{"runs/ckpt.pt", 2, 1}));
}

TEST(SweepCells, HaveFoldersThatNameThem) {
  const SweepConfig config = configured(1e-3, 1e-1, 1, 1.2);
  EXPECT_EQ(cell_folder(config, {"new:llama2-20M-simplegpt", std::sqrt(2.0) * 1e-3, 7}),
            "sweep/llama2-20M-simplegpt/lr-1.414e-03/seed-7");
  SweepConfig trained = configured(0.1, 0.1, 1, 1.2);
  trained.models = {"runs/big model.pt"};
  EXPECT_EQ(cell_name(grid_cells(trained).front()), "big model, lr 1.000e-01, seed 0");
}

TEST(SweepCells, AreLabelledByTheModelsSizeNotItsConfiguredName) {
  SweepConfig config = configured(0.1, 0.1, 1, 1.2);
  config.models = {"new:llama2-20M-prenorm", "new:llama2-20M-simplegpt"};
  config.train.model.vocab_size = 256;
  config.train.model.dim = 128;
  const std::vector<Cell> cells = grid_cells(config);
  EXPECT_EQ(cell_name(cells.front()), "llama2-0.9M-prenorm, lr 1.000e-01, seed 0");
  EXPECT_EQ(cells.back().label, "llama2-0.9M-simplegpt");
  EXPECT_EQ(cell_folder(config, cells.back()).parent_path().parent_path(), "sweep/llama2-0.9M-simplegpt");
  config.train.model.n_heads = 5;  // heads of width 25, which RoPE refuses: check() names the model as configured
  EXPECT_EQ(model_label(config, config.models[0]), "llama2-20M-prenorm");
}

TEST(SweepCells, HaveFoldersInsideTheSweepsFolderForAnyModelName) {
  const SweepConfig config = configured(1e-3, 1e-1, 1, 1.2);
  for (const char* model : {"runs/llama", "runs/llama/", "runs/llama//", "./llama", "llama.pt", "/llama.safetensors"}) {
    EXPECT_EQ(model_label(config, model), "llama") << model;
    EXPECT_EQ(cell_folder(config, {model, 1e-3, 0}), "sweep/llama/lr-1.000e-03/seed-0") << model;
  }
}

TEST(SweepCells, TrainWithTheSweepsConfigurationExceptForModelRateSeedAndFolder) {
  SweepConfig config = configured(1e-3, 1e-1, 1, 1.2);
  config.train.steps = 77;
  config.train.optimizer.lr = 5;
  config.train.data.source = "notes.txt";
  const auto train = cell_config(config, {"new:llama2-20M-simplegpt", 0.25, 9});
  EXPECT_EQ(train.model.name, "new:llama2-20M-simplegpt");
  EXPECT_EQ(train.optimizer.lr, 0.25);
  EXPECT_EQ(train.seed, 9);
  EXPECT_EQ(train.out, "sweep/llama2-20M-simplegpt/lr-2.500e-01/seed-9");
  EXPECT_EQ(train.steps, 77);
  EXPECT_EQ(train.data.source, "notes.txt");
  EXPECT_EQ(train.checkpoint.every, 0);
}

TEST(SweepSearch, HalvesTheBracketInLog2UntilItsEndsAreWithinTheFactor) {
  const SweepConfig config = configured(1, 16, 0.5, 1.2);  // 1, 4, 16; and 4 -> 2 -> 1.41 -> 1.19
  EXPECT_EQ(rounds_of(config), 3);
  std::mt19937 generator(1);
  std::vector<double> rates;
  for (const CellResult& result : search(config, stable_up_to(3), generator)) {
    rates.push_back(result.cell.lr);
  }
  std::ranges::sort(rates);
  const double middle = std::sqrt(2 * std::sqrt(2.0) * 4);
  EXPECT_THAT(rates, ElementsAre(1, 2, testing::DoubleNear(2 * std::sqrt(2.0), 1e-12),
                                 testing::DoubleNear(middle, 1e-12), 4, 16));
}

TEST(SweepSearch, AddsNoRateIfTheBracketIsOpenOrBisectionIsOff) {
  std::mt19937 generator(1);
  SweepConfig config = configured(1, 16, 1, 1.2);
  EXPECT_EQ(keys_of(cells_of(search(config, stable_up_to(100), generator))), keys_of(grid_cells(config)));
  EXPECT_EQ(keys_of(cells_of(search(config, stable_up_to(0.1), generator))), keys_of(grid_cells(config)));
  EXPECT_GT(search(config, stable_up_to(3), generator).size(), grid_cells(config).size());
  config.bisect = false;
  EXPECT_EQ(rounds_of(config), 0);
  EXPECT_EQ(keys_of(cells_of(search(config, stable_up_to(3), generator))), keys_of(grid_cells(config)));
}

TEST(SweepSearch, DecidesARoundOnlyOnceEveryRunBeforeItHasEnded) {
  SweepConfig config = configured(1, 4, 1, 1.5);  // 1, 2, 4, and one round
  config.seeds = {0, 1};
  std::vector<CellResult> results;
  for (const Cell& cell : grid_cells(config)) {
    EXPECT_FALSE(bisection_rate(config, config.models[0], 1, results));
    results.push_back(ended(cell, stable_up_to(1)(cell)));
  }
  const auto rate = bisection_rate(config, config.models[0], 1, results);
  ASSERT_TRUE(rate);
  EXPECT_DOUBLE_EQ(*rate, std::sqrt(2.0));
  for (CellResult& result : results) {
    const CellStatus status = std::exchange(result.status, CellStatus::pending);
    EXPECT_FALSE(bisection_rate(config, config.models[0], 1, results)) << cell_name(result.cell);
    result.status = status;
  }
}

TEST(SweepSearch, DecidesARoundByEarlierResultsOnly) {
  const SweepConfig config = configured(1, 16, 0.5, 1.1);
  const auto results = run_in_stages(config, stable_up_to(3));
  std::vector<CellResult> known;
  for (const Cell& cell : grid_cells(config)) {
    known.push_back(ended(cell, stable_up_to(3)(cell)));
  }
  for (int round = 1; round <= rounds_of(config); ++round) {
    const auto rate = bisection_rate(config, config.models[0], round, known);
    ASSERT_TRUE(rate) << round;
    // Later results, and those of the round itself, do not change it.
    EXPECT_EQ(bisection_rate(config, config.models[0], round, results), rate) << round;
    known.push_back(ended({config.models[0], *rate, 0}, *rate <= 3 ? CellStatus::stable : CellStatus::diverged));
  }
}

TEST(SweepSearch, EndsWithABracketWithinTheFactorAroundTheThresholdOfEachModel) {
  for_random_configurations(300, [](const SweepConfig& config, std::mt19937& generator) {
    const auto grid = experiments::grid_rates(config.lr);
    // One threshold per model and seed; a rate is unstable if any seed diverges.
    std::map<std::pair<std::string, int64_t>, double> thresholds;
    std::map<std::string, double> lowest;
    for (const std::string& model : config.models) {
      lowest[model] = std::numeric_limits<double>::infinity();
      const double middle = uniform(generator, std::log2(grid.front()) - 0.5, std::log2(grid.back()) + 0.5);
      for (const int64_t seed : config.seeds) {
        const double threshold = std::exp2(middle + uniform(generator, 0, 0.3));
        thresholds[{model, seed}] = threshold;
        lowest[model] = std::min(lowest[model], threshold);
      }
    }
    const Outcome outcome = [&](const Cell& cell) {
      return stable_up_to(thresholds.at({cell.model, cell.seed}))(cell);
    };
    const auto results = search(config, outcome, generator);
    for (const std::string& model : config.models) {
      SCOPED_TRACE(model + ", threshold " + std::to_string(lowest[model]));
      const auto bracket = stability_bracket(outcomes_of(model, results), config.seeds);
      EXPECT_EQ(bracket.largest_stable.has_value(), grid.front() <= lowest[model]);
      EXPECT_EQ(bracket.smallest_unstable_above.has_value(), grid.back() > lowest[model]);
      if (bracket.largest_stable) {
        EXPECT_LE(*bracket.largest_stable, lowest[model]);
      }
      if (bracket.smallest_unstable_above) {
        EXPECT_GT(*bracket.smallest_unstable_above, lowest[model]);
      }
      if (bracket.largest_stable && bracket.smallest_unstable_above) {
        EXPECT_LE(*bracket.smallest_unstable_above / *bracket.largest_stable, config.factor * (1 + 1e-8));
      }
    }
    EXPECT_EQ(keys_of(cells_of(run_in_stages(config, outcome))), keys_of(cells_of(results)));
  });
}

TEST(SweepSearch, EndsWithABracketWithinTheFactorIfOutcomesAreRandom) {
  for_random_configurations(300, [](const SweepConfig& config, std::mt19937& generator) {
    // Outcomes are random, but the same whenever a run is repeated.
    const auto salt = static_cast<unsigned>(generator());
    const Outcome outcome = [salt](const Cell& cell) {
      const auto hash = std::hash<std::string>()(cell_name(cell) + std::to_string(salt));
      return hash % 3 != 0 ? CellStatus::stable : CellStatus::diverged;
    };
    const auto results = search(config, outcome, generator);
    for (const std::string& model : config.models) {
      const auto bracket = stability_bracket(outcomes_of(model, results), config.seeds);
      if (bracket.largest_stable && bracket.smallest_unstable_above) {
        EXPECT_GT(*bracket.smallest_unstable_above, 0);
        EXPECT_LE(*bracket.smallest_unstable_above / *bracket.largest_stable, config.factor * (1 + 1e-8));
      }
    }
    EXPECT_EQ(keys_of(cells_of(run_in_stages(config, outcome))), keys_of(cells_of(results)));
  });
}

TEST(SweepSearch, NeverWantsACellThatItDropsLater) {
  for_random_configurations(100, [](const SweepConfig& config, std::mt19937& generator) {
    const double threshold = config.lr.from * std::exp2(uniform(generator, 0, 8));
    const auto results = search(config, stable_up_to(threshold), generator);
    const std::vector<Cell> last = wanted_cells(config, results);
    EXPECT_EQ(keys_of(last), keys_of(cells_of(results)));
    std::vector<CellResult> known = results;
    std::shuffle(known.begin(), known.end(), generator);
    for (; !known.empty(); known.pop_back()) {
      EXPECT_THAT(wanted_cells(config, known), IsSubsetOf(last));
    }
    EXPECT_THAT(wanted_cells(config, {}), testing::ContainerEq(grid_cells(config)));
  });
}

TEST(SweepSearch, EndsWhicheverRunsFailAndRepeatsNoRun) {
  for_random_configurations(300, [](const SweepConfig& config, std::mt19937& generator) {
    const double threshold = config.lr.from * std::exp2(uniform(generator, 0, 8));
    const auto salt = static_cast<unsigned>(generator());
    const Outcome outcome = [&](const Cell& cell) {
      const auto hash = std::hash<std::string>()(cell_name(cell) + std::to_string(salt));
      return hash % 4 == 0 ? CellStatus::failed : stable_up_to(threshold)(cell);
    };
    const auto results = search(config, outcome, generator);
    EXPECT_EQ(keys_of(cells_of(run_in_stages(config, outcome))), keys_of(cells_of(results)));
  });
}

TEST(SweepSearch, CountsStableAndDivergedRunsOfTheModelOnly) {
  const std::vector<CellResult> results = {
      ended({"new:llama2-20M-prenorm", 1, 0}, CellStatus::stable),
      ended({"new:llama2-20M-prenorm", 2, 0}, CellStatus::failed),
      ended({"new:llama2-20M-prenorm", 4, 0}, CellStatus::pending),
      ended({"new:llama2-20M-prenorm", 8, 0}, CellStatus::diverged),
      ended({"new:llama2-20M-simplegpt", 16, 0}, CellStatus::stable),
  };
  const auto outcomes = outcomes_of("new:llama2-20M-prenorm", results);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].lr, 1);
  EXPECT_FALSE(outcomes[0].diverged);
  EXPECT_EQ(outcomes[1].lr, 8);
  EXPECT_TRUE(outcomes[1].diverged);
}

TEST(SweepTasks, AreReadFromText) {
  const auto task = experiments::parse_task("2:13");
  EXPECT_EQ(task.stage, 2);
  EXPECT_EQ(task.index, 13);
  for (const char* word :
       {"", ":", "1", "1:", ":1", "1:2:3", " 1:2", "1: 2", "1:2 ", "0x1:2", "1:99999999999999999999", "a:b"}) {
    EXPECT_THROW(experiments::parse_task(word), std::invalid_argument) << word;
  }
}

TEST(SweepTasks, AreOnePerCellOfTheGridAndOnePerModelAndSeedOfARound) {
  SweepConfig config = configured(1, 16, 1, 1.2);
  config.models = {all_models[0], all_models[1]};
  config.seeds = {0, 1, 2};
  EXPECT_EQ(tasks_of(config, 0), 2 * 5 * 3);
  for (int round = 1; round <= rounds_of(config); ++round) {
    EXPECT_EQ(tasks_of(config, round), 2 * 3);
  }
  EXPECT_THROW(tasks_of(config, -1), std::invalid_argument);
  EXPECT_THROW(tasks_of(config, rounds_of(config) + 1), std::invalid_argument);
  EXPECT_THROW(cell_of_task(config, 0, -1), std::invalid_argument);
  EXPECT_THROW(cell_of_task(config, 0, 30), std::invalid_argument);
  EXPECT_THROW(cell_of_task(config, 1, 6), std::invalid_argument);
}

/// A temporary folder for run files.
class SweepTasksOnDisk : public testing::Test {
 protected:
  SweepTasksOnDisk() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sweep-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~SweepTasksOnDisk() override { std::filesystem::remove_all(folder_); }

  /// Writes the run file of a cell with losses that lead to the outcome.
  static void train(const SweepConfig& config, const Cell& cell, CellStatus status) {
    experiments::TrainConfig train = cell_config(config, cell);
    experiments::RunInfo info;
    info.program = "hessian-train";
    info.config = write_config(train_fields(train));
    std::filesystem::create_directories(train.out);
    auto writer = experiments::TrainWriter::create(experiments::run_file_in(train.out), info, {}, true);
    writer.write_update(1, 16, {6.0, cell.lr, 1.0}, 0.1);
    const bool diverged = status == CellStatus::diverged;
    writer.write_update(2, 16, {diverged ? std::numeric_limits<double>::quiet_NaN() : 2.0, cell.lr, 1.0}, 0.1);
    if (status != CellStatus::pending) {
      writer.finish(0);
    }
  }

  std::filesystem::path folder_;
};

TEST_F(SweepTasksOnDisk, OfAllStagesRunEachCellThatASweepWantsExactlyOnce) {
  const unsigned seed = seed_of_tests();
  SCOPED_TRACE("HESSIAN_TEST_SEED=" + std::to_string(seed));
  std::mt19937 generator(seed);
  for (int repeat = 0; repeat < 3; ++repeat) {
    SweepConfig config = configured(1, 16, 0.5, 1.3);  // 1, 4, 16, and three rounds
    config.train.out = (folder_ / std::to_string(repeat)).string();
    config.train.divergence.plateau_drop = 0;
    config.models = {all_models[0], all_models[2]};
    config.seeds = {0, 5};
    // One of the models may have no bracket, and then needs no rounds.
    const std::map<std::string, double> thresholds = {{all_models[0], std::exp2(uniform(generator, 0, 4))},
                                                      {all_models[2], std::exp2(uniform(generator, -2, 6))}};
    const auto outcome = [&](const Cell& cell) { return stable_up_to(thresholds.at(cell.model))(cell); };
    std::vector<Cell> done;
    for (int stage = 0; stage <= rounds_of(config); ++stage) {
      std::vector<int64_t> order(static_cast<std::size_t>(tasks_of(config, stage)));
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), generator);
      for (const int64_t index : order) {
        if (const auto cell = cell_of_task(config, stage, index)) {
          train(config, *cell, outcome(*cell));
          done.push_back(*cell);
        }
      }
    }
    const auto results = read_results(config, CellStatus::pending);
    EXPECT_EQ(keys_of(done), keys_of(cells_of(results)));
    EXPECT_EQ(keys_of(done), keys_of(wanted_cells(config, results)));
    EXPECT_EQ(keys_of(done), keys_of(cells_of(search(config, outcome, generator))));
    for (const CellResult& result : results) {
      EXPECT_EQ(result.status, outcome(result.cell)) << cell_name(result.cell);
    }
  }
}

TEST_F(SweepTasksOnDisk, OfARoundAreNotNeededUntilEveryEarlierRunHasFinished) {
  SweepConfig config = configured(1, 2, 1, 1.5);
  config.train.out = folder_.string();
  config.train.divergence.plateau_drop = 0;
  const Cell first{all_models[0], 1, 0};
  const Cell second{all_models[0], 2, 0};
  EXPECT_FALSE(cell_of_task(config, 1, 0));
  train(config, first, CellStatus::stable);
  train(config, second, CellStatus::pending);
  EXPECT_EQ(read_result(config, second).status, CellStatus::pending);
  EXPECT_FALSE(cell_of_task(config, 1, 0));
  train(config, second, CellStatus::diverged);
  const auto cell = cell_of_task(config, 1, 0);
  ASSERT_TRUE(cell);
  EXPECT_DOUBLE_EQ(cell->lr, std::sqrt(2.0));
}

TEST_F(SweepTasksOnDisk, AreNotMixedWithRunsOfAnotherConfiguration) {
  SweepConfig config = configured(1, 2, 1, 1.5);
  config.train.out = folder_.string();
  train(config, {all_models[0], 1, 0}, CellStatus::stable);
  config.train.data.batch_size += 1;
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] { read_results(config, CellStatus::pending); }),
              testing::AllOf(testing::HasSubstr("data.batch_size"), testing::HasSubstr("run.h5")));
}

}  // namespace
}  // namespace hessian::tests
