#include "sweep/config.h"

#include <fmt/format.h>

#include <set>
#include <span>
#include <stdexcept>

#include "io/atomic_file.h"
#include "sweep/cells.h"
#include "train/expected_value.h"

namespace hessian::experiments {
namespace {

template <class T>
void expect_different(const std::vector<T>& values, const std::string& key) {
  if (values.empty() || std::set<T>(values.begin(), values.end()).size() != values.size()) {
    throw std::invalid_argument(key + ": expected one or more different entries");
  }
}

void check_sweep(const SweepConfig& config) {
  expect_different(config.models, "sweep.models");
  expect_different(config.seeds, "sweep.seeds");
  std::vector<std::string> labels;
  for (const std::string& model : config.models) {
    labels.push_back(model_label(config, model));
    if (labels.back().empty() || labels.back() == "." || labels.back() == "..") {
      throw std::invalid_argument(fmt::format("sweep.models: '{}' does not name a model", model));
    }
  }
  expect_different(labels, "sweep.models: names of their folders");
  expect_value(config.jobs >= 1, "sweep.jobs", config.jobs, "a whole number of at least 1");
  check_grid(config.lr, "sweep.lr");
  check_bisection_factor(config.factor, "sweep.factor");
  for (const Cell& cell : grid_cells(config)) {
    check(cell_config(config, cell), cell_name(cell));
  }
}

}  // namespace

ConfigFields sweep_fields(SweepConfig& c) {
  ConfigFields fields = train_fields(c.train);
  const ConfigFields own = {
      {"sweep.models", &c.models, "models to train one after the other; replaces model.name"},
      {"sweep.seeds", &c.seeds, "seeds to train every model with; replaces seed"},
      {"sweep.lr.from", &c.lr.from, "smallest peak learning rate of the grid; replaces optimizer.lr"},
      {"sweep.lr.to", &c.lr.to, "largest peak learning rate of the grid"},
      {"sweep.lr.per_octave", &c.lr.per_octave, "rates per doubling"},
      {"sweep.bisect", &c.bisect, "narrow the bracket between the last stable rate and the first unstable one"},
      {"sweep.factor", &c.factor, "ratio of the bracket's ends at which bisection ends"},
      {"sweep.jobs", &c.jobs, "concurrent runs, a process each; they share the CPU threads"},
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

void write_config_file(const std::filesystem::path& path, const ConfigFields& fields) {
  models::write_file(path, write_config(fields));
}

}  // namespace hessian::experiments
