#include "sweep/config.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <set>
#include <stdexcept>

#include "sweep/cells.h"

namespace hessian::experiments {
namespace {

template <class T>
void expect_different(const std::vector<T>& values, const std::string& key) {
  if (values.empty() || std::set<T>(values.begin(), values.end()).size() != values.size()) {
    throw std::invalid_argument(key + ": expected one or more different entries");
  }
}

void expect(bool right, const char* key, double value, const std::string& expectation) {
  if (!right) {
    throw std::invalid_argument(fmt::format("{} is {}, expected {}", key, value, expectation));
  }
}

/// What lr_search would refuse, in the words of the configuration.
void check_grid(const SweepConfig& config) {
  expect(config.lr.from > 0 && std::isfinite(config.lr.from), "sweep.lr.from", config.lr.from, "a positive number");
  expect(config.lr.to >= config.lr.from && std::isfinite(config.lr.to), "sweep.lr.to", config.lr.to,
         fmt::format("a number from sweep.lr.from, {}, on", config.lr.from));
  expect(config.lr.per_octave > 0 && config.lr.per_octave <= most_rates_per_octave, "sweep.lr.per_octave",
         config.lr.per_octave, fmt::format("a positive number up to {}", most_rates_per_octave));
  expect(config.factor >= smallest_bisection_factor && std::isfinite(config.factor), "sweep.factor", config.factor,
         fmt::format("a number from {} on", smallest_bisection_factor));
}

void check_sweep(const SweepConfig& config) {
  expect_different(config.models, "sweep.models");
  expect_different(config.seeds, "sweep.seeds");
  std::vector<std::string> labels;
  for (const std::string& model : config.models) {
    labels.push_back(model_label(config, model));
    if (labels.back().empty() || labels.back() == "." || labels.back() == "..") {
      throw std::invalid_argument(fmt::format("sweep.models: '{}' names no model", model));
    }
  }
  expect_different(labels, "sweep.models: names of their folders");
  if (config.jobs < 1) {
    throw std::invalid_argument(fmt::format("sweep.jobs is {}, expected a whole number from 1 on", config.jobs));
  }
  check_grid(config);
  for (const Cell& cell : grid_cells(config)) {
    check(cell_config(config, cell), cell_name(cell));
  }
}

}  // namespace

ConfigFields sweep_fields(SweepConfig& c) {
  ConfigFields fields = train_fields(c.train);
  const ConfigFields own = {
      {"sweep.models", &c.models, "instead of model.name, one after the other"},
      {"sweep.seeds", &c.seeds, "instead of seed"},
      {"sweep.lr.from", &c.lr.from, "smallest peak learning rate of the grid, instead of optimizer.lr"},
      {"sweep.lr.to", &c.lr.to, "largest"},
      {"sweep.lr.per_octave", &c.lr.per_octave, "rates in each doubling"},
      {"sweep.bisect", &c.bisect, "narrow the bracket between the last stable rate and the first unstable one"},
      {"sweep.factor", &c.factor, "ratio of the bracket's ends at which that is done"},
      {"sweep.jobs", &c.jobs, "runs at a time, a process each; they share the threads"},
  };
  fields.insert(fields.end(), own.begin(), own.end());
  return fields;
}

SweepConfig load_sweep_config(const std::string& path, const std::vector<std::string>& settings) {
  SweepConfig config;
  read_config_file(path, settings, sweep_fields(config));
  if (config.train.out.empty()) {
    config.train.out = std::filesystem::path(path).stem().string();
  }
  try {
    check_sweep(config);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(path + ": " + error.what());
  }
  return config;
}

}  // namespace hessian::experiments
