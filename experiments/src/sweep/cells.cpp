#include "sweep/cells.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <system_error>

#include "train/resume.h"
#include "train/train.h"

namespace hessian::experiments {
namespace {

bool same_cell(const Cell& a, const Cell& b) {
  return a.model == b.model && a.seed == b.seed && same_rate(a.lr, b.lr);
}

void add_rate(std::vector<Cell>& cells, const SweepConfig& config, const std::string& model, double lr) {
  const std::string label = model_label(config, model);
  for (const int64_t seed : config.seeds) {
    cells.push_back({model, lr, seed, label});
  }
}

/// Returns whether all runs at these rates have ended, failed or not, so that the next rate can be decided.
bool is_complete(const SweepConfig& config, const std::string& model, const std::vector<double>& rates,
                 const std::vector<CellResult>& results) {
  return std::all_of(rates.begin(), rates.end(), [&](double rate) {
    return std::all_of(config.seeds.begin(), config.seeds.end(), [&](int64_t seed) {
      return std::any_of(results.begin(), results.end(), [&](const CellResult& result) {
        return result.status != CellStatus::pending && same_cell(result.cell, {model, rate, seed});
      });
    });
  });
}

}  // namespace

const char* to_string(CellStatus status) {
  constexpr std::array<const char*, 4> words = {"pending", "stable", "diverged", "failed"};
  return words.at(static_cast<std::size_t>(status));
}

std::string model_label(const SweepConfig& config, const std::string& model) {
  TrainConfig train = config.train;
  train.model.name = model;
  return model_label(train);
}

std::string cell_name(const Cell& cell) {
  return fmt::format("{}, lr {}, seed {}", cell.label, format_rate(cell.lr), cell.seed);
}

std::filesystem::path cell_folder(const SweepConfig& config, const Cell& cell) {
  return std::filesystem::path(config.train.out) / model_label(config, cell.model) / ("lr-" + format_rate(cell.lr)) /
         fmt::format("seed-{}", cell.seed);
}

std::string cell_key(const SweepConfig& config, const Cell& cell) {
  return cell_folder(config, cell).string();
}

TrainConfig cell_config(const SweepConfig& config, const Cell& cell) {
  TrainConfig train = config.train;
  train.model.name = cell.model;
  train.optimizer.lr = cell.lr;
  train.seed = cell.seed;
  train.out = cell_folder(config, cell).string();
  return train;
}

std::vector<Cell> grid_cells(const SweepConfig& config) {
  std::vector<Cell> cells;
  for (const std::string& model : config.models) {
    for (const double lr : grid_rates(config.lr)) {
      add_rate(cells, config, model, lr);
    }
  }
  return cells;
}

int rounds_of(const SweepConfig& config) {
  return config.bisect ? bisection_rounds(std::exp2(1.0 / config.lr.per_octave), config.factor) : 0;
}

std::optional<double> bisection_rate(const SweepConfig& config, const std::string& model, int round,
                                     const std::vector<CellResult>& results) {
  // Only results of earlier rounds count, so that the runs of a round may start at any time.
  std::vector<double> rates = grid_rates(config.lr);
  std::optional<double> rate;
  for (int earlier = 1; earlier <= round; ++earlier) {
    if (!is_complete(config, model, rates, results)) {
      return std::nullopt;
    }
    std::vector<RunOutcome> outcomes = outcomes_of(model, results);
    std::erase_if(outcomes, [&rates](const RunOutcome& outcome) {
      return std::none_of(rates.begin(), rates.end(), [&](double known) { return same_rate(known, outcome.lr); });
    });
    rate = next_rate(stability_bracket(outcomes, config.seeds), config.factor);
    const bool tried = rate && std::any_of(rates.begin(), rates.end(), [&](double r) { return same_rate(r, *rate); });
    if (!rate || tried) {  // a rate that was tried is proposed again if one of its runs has failed
      return std::nullopt;
    }
    rates.push_back(*rate);
  }
  return rate;
}

std::vector<Cell> wanted_cells(const SweepConfig& config, const std::vector<CellResult>& results) {
  std::vector<Cell> cells = grid_cells(config);
  for (const std::string& model : config.models) {
    for (int round = 1; round <= rounds_of(config); ++round) {
      const auto rate = bisection_rate(config, model, round, results);
      if (!rate) {
        break;
      }
      add_rate(cells, config, model, *rate);
    }
  }
  return cells;
}

CellResult read_result(const SweepConfig& config, const Cell& cell) {
  CellResult result{cell, CellStatus::pending, {}};
  const auto run_file = run_file_in(cell_folder(config, cell));
  std::error_code error;
  if (!std::filesystem::exists(run_file, error)) {
    return result;
  }
  try {
    result.summary = summarise_run(run_file);
  } catch (const std::runtime_error&) {
    return result;  // an unreadable run file counts as not finished; the run is started again and reports any error
  }
  check_same_run(result.summary.config, cell_config(config, cell), run_file.string());
  if (result.summary.finished) {
    result.status = result.summary.divergence ? CellStatus::diverged : CellStatus::stable;
  }
  return result;
}

std::vector<CellResult> read_results(const SweepConfig& config, CellStatus unfinished) {
  std::vector<CellResult> results;
  // Repeats until no cell is added, because results may make further cells necessary.
  for (std::size_t known = 0;;) {
    const std::vector<Cell> cells = wanted_cells(config, results);
    if (cells.size() == known) {
      return results;
    }
    known = cells.size();
    results.clear();
    for (const Cell& cell : cells) {
      results.push_back(read_result(config, cell));
      if (results.back().status == CellStatus::pending) {
        results.back().status = unfinished;
      }
    }
  }
}

std::vector<RunOutcome> outcomes_of(const std::string& model, const std::vector<CellResult>& results) {
  std::vector<RunOutcome> outcomes;
  for (const CellResult& result : results) {
    if (result.cell.model == model && (result.status == CellStatus::stable || result.status == CellStatus::diverged)) {
      outcomes.push_back({result.cell.lr, result.cell.seed, result.status == CellStatus::diverged,
                          result.summary.final_loss, result.summary.initial_loss});
    }
  }
  return outcomes;
}

}  // namespace hessian::experiments
