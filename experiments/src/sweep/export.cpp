#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "hessian/run_file.h"
#include "run_file/columns.h"
#include "sweep/table.h"
#include "train/train.h"

// Writes the table in machine-readable forms: as JSON and as the sweep's run file.

namespace hessian::experiments {
namespace {

double or_nan(const std::optional<double>& value) {
  return value.value_or(std::numeric_limits<double>::quiet_NaN());
}

nlohmann::json or_null(const std::optional<double>& value) {
  return value ? nlohmann::json(*value) : nlohmann::json();
}

/// Returns the step at which a run diverged, or -1.
int64_t diverged_at(const CellResult& result) {
  return result.summary.divergence ? result.summary.divergence->step : -1;
}

/// Returns a loss of a run; NaN if the run has no step yet.
double loss_or_nan(const CellResult& result, double RunSummary::*member) {
  return result.summary.step > 0 ? result.summary.*member : std::numeric_limits<double>::quiet_NaN();
}

std::string relative_run_file(const SweepConfig& config, const Cell& cell) {
  return std::filesystem::relative(run_file_in(cell_folder(config, cell)), config.train.out).string();
}

void add_runs(Columns& runs, const SweepConfig& config, const std::vector<CellResult>& results) {
  using R = CellResult;
  runs.add("/sweep/model", column(results, [](const R& r) { return r.cell.label; }), "1", "model of each run");
  runs.add("/sweep/lr", column(results, [](const R& r) { return r.cell.lr; }), "1", "peak learning rate of each run");
  runs.add("/sweep/seed", column(results, [](const R& r) { return r.cell.seed; }), "1", "seed of each run");
  runs.add("/sweep/status", column(results, [](const R& r) { return std::string(to_string(r.status)); }), "1",
           "stable, diverged, failed or pending");
  runs.add("/sweep/final_loss", column(results, [](const R& r) { return loss_or_nan(r, &RunSummary::final_loss); }),
           "nats", "last validation loss, or mean of the last tenth of the training losses");
  runs.add("/sweep/initial_loss", column(results, [](const R& r) { return loss_or_nan(r, &RunSummary::initial_loss); }),
           "nats", "loss of the first step");
  runs.add("/sweep/diverged_at", column(results, diverged_at), "steps",
           "step at which a run diverged, -1 if it did not");
  runs.add("/sweep/run_file", column(results, [&](const R& r) { return relative_run_file(config, r.cell); }), "1",
           "run file of each run, relative to the sweep's folder");
}

void add_models(Columns& models, const std::vector<ModelSummary>& summaries) {
  using M = ModelSummary;
  const std::string group = "/sweep/summary/";
  models.add(group + "model", column(summaries, [](const M& m) { return m.label; }), "1", "model");
  models.add(group + "largest_stable_lr",
             column(summaries, [](const M& m) { return or_nan(m.lr.bracket.largest_stable); }), "1",
             "largest rate at which no seed diverged");
  models.add(group + "smallest_unstable_lr",
             column(summaries, [](const M& m) { return or_nan(m.lr.bracket.smallest_unstable_above); }), "1",
             "smallest rate above it at which a seed diverged");
  models.add(group + "best_loss", column(summaries, [](const M& m) { return or_nan(m.lr.best_loss); }), "nats",
             "smallest mean final loss over stable rates");
  models.add(group + "best_lr", column(summaries, [](const M& m) { return or_nan(m.lr.best_lr); }), "1",
             "rate of the best loss");
  models.add(group + "lr_sensitivity", column(summaries, [](const M& m) { return or_nan(m.lr.lr_sensitivity); }),
             "nats", "expected deviation from the best loss over the grid");
  models.add(group + "activation_rate", column(summaries, [](const M& m) { return or_nan(m.activation_rate); }), "1",
             "2 / lambda_max(H_xx), as a peak rate");
  models.add(group + "sharpness_rate", column(summaries, [](const M& m) { return or_nan(m.sharpness_rate); }), "1",
             "2 / sharpness, as a peak rate");
  models.add(group + "preconditioned_rate", column(summaries, [](const M& m) { return or_nan(m.preconditioned_rate); }),
             "1", "(2 + 2 beta1) / (1 - beta1) / preconditioned sharpness, as a peak rate");
}

}  // namespace

std::string format_json(const SweepTable& table) {
  nlohmann::json object;
  object["models"] = nlohmann::json::array();
  for (const ModelSummary& model : table.models) {
    object["models"].push_back({{"model", model.label},
                                {"largest_stable_lr", or_null(model.lr.bracket.largest_stable)},
                                {"smallest_unstable_lr", or_null(model.lr.bracket.smallest_unstable_above)},
                                {"best_loss", or_null(model.lr.best_loss)},
                                {"best_lr", or_null(model.lr.best_lr)},
                                {"lr_sensitivity", or_null(model.lr.lr_sensitivity)},
                                {"activation_rate", or_null(model.activation_rate)},
                                {"sharpness_rate", or_null(model.sharpness_rate)},
                                {"preconditioned_rate", or_null(model.preconditioned_rate)}});
  }
  object["sharpness_sequences"] =
      table.sharpness_sequences > 0 ? nlohmann::json(table.sharpness_sequences) : nlohmann::json();
  object["ratios"] = nlohmann::json::array();
  for (const StabilityRatio& ratio : table.ratios) {
    object["ratios"].push_back({{"model", ratio.label},
                                {"baseline", ratio.baseline},
                                {"ratio", ratio.ratio},
                                {"low", or_null(ratio.low)},
                                {"high", or_null(ratio.high)}});
  }
  object["runs"] = nlohmann::json::array();
  for (const CellResult& result : table.results) {
    object["runs"].push_back({{"model", result.cell.label},
                              {"lr", result.cell.lr},
                              {"seed", result.cell.seed},
                              {"status", to_string(result.status)},
                              {"step", result.summary.step},
                              {"final_loss", loss_or_nan(result, &RunSummary::final_loss)},
                              {"diverged_at", diverged_at(result)}});
  }
  return object.dump(2) + "\n";
}

void write_sweep_file(const std::filesystem::path& path, const SweepConfig& config, const std::string& command_line,
                      const SweepTable& table, bool finished) {
  Columns runs(table.results.size());
  Columns models(table.models.size());
  add_runs(runs, config, table.results);
  add_models(models, table.models);
  SweepConfig written = config;
  RunInfo info = make_run_info("hessian-sweep", command_line);
  info.seed = static_cast<uint64_t>(config.seeds.front());
  info.device = config.train.device;
  info.dtype = config.train.dtype;
  info.config = write_config(sweep_fields(written));
  info.model = nlohmann::json(config.models).dump();
  write_tables(path, info, {runs, models}, finished);
}

}  // namespace hessian::experiments
