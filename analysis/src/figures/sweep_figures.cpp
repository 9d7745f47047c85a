#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "content/sharpness_sequences.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

constexpr const char* sharpness_label = "2 / sharpness";
constexpr const char* preconditioned_label = "Adam's limit";

/// A model of a sweep, with a label that is unique among all sweeps.
struct SweptModel {
  const SweepRuns* sweep;
  std::string model;
  std::string label;

  /// Returns a number of the sweep's summary, NaN if there is none.
  [[nodiscard]] double summary_number(const std::string& name) const { return sweep->summary_number(model, name); }
};

std::vector<SweptModel> models_of(const LabelledRuns& input) {
  std::vector<SweptModel> models;
  std::map<std::string, int> sweeps_with;
  for (const RunContent& run : input.runs) {
    if (run.sweep) {
      for (const std::string& model : std::set<std::string>(run.sweep->model.begin(), run.sweep->model.end())) {
        ++sweeps_with[model];
      }
    }
  }
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    if (const auto& sweep = input.runs[i].sweep) {
      std::set<std::string> seen;
      for (const std::string& model : sweep->model) {
        if (seen.insert(model).second) {
          models.push_back({&*sweep, model, sweeps_with[model] > 1 ? model + ", " + input.labels[i] : model});
        }
      }
    }
  }
  return models;
}

/// The losses of a model's runs by rate, those that are stable and those that diverged.
struct RunsByRate {
  std::map<double, std::vector<double>> stable;
  std::map<double, std::vector<double>> diverged;  ///< the losses at which these runs ended
  Summary all_rates{};
  int failed = 0;
  int pending = 0;
  double highest_loss = 0;  ///< of the stable runs; if there is none, the loss before training
};

RunsByRate runs_of(const SweptModel& swept) {
  RunsByRate runs;
  const SweepRuns& sweep = *swept.sweep;
  runs.all_rates = summarise(sweep.lr);
  for (std::size_t i = 0; i < sweep.model.size(); ++i) {
    if (sweep.model[i] != swept.model) {
      continue;
    }
    if (sweep.status[i] == "stable") {
      runs.stable[sweep.lr[i]].push_back(sweep.final_loss[i]);
      runs.highest_loss = std::max(runs.highest_loss, sweep.final_loss[i]);
    } else if (sweep.status[i] == "diverged") {
      runs.diverged[sweep.lr[i]].push_back(sweep.final_loss[i]);
    } else {
      ++(sweep.status[i] == "failed" ? runs.failed : runs.pending);
    }
  }
  if (runs.stable.empty()) {
    runs.highest_loss = summarise(sweep.initial_loss).high;
  }
  return runs;
}

void add_model(const SweptModel& swept, const RunsByRate& runs, const std::string& color, double crosses_y,
               Figure& figure) {
  Curve curve;
  curve.label = swept.label;
  curve.color = color;
  curve.mark = Mark::line_and_points;
  for (const auto& [rate, losses] : runs.stable) {
    add_point(curve, rate, summarise(losses));
  }
  figure.curves.push_back(std::move(curve));
  if (!runs.diverged.empty()) {
    Curve crosses;
    crosses.label = swept.label + ", diverged";
    crosses.in_legend = false;
    crosses.color = color;
    crosses.mark = Mark::crosses;
    for (const auto& [rate, losses] : runs.diverged) {
      crosses.x.push_back(rate);
      crosses.y.push_back(crosses_y);
      crosses.recorded.push_back(summarise(losses).median);
    }
    figure.curves.push_back(std::move(crosses));
  }
  if (const double rate = swept.summary_number("largest_stable_lr"); std::isfinite(rate)) {
    figure.verticals.push_back({"largest stable rate of " + swept.label, color, rate, true});
  }
  // Curvature often allows rates far beyond the grid, which would shrink the rest of the axis.
  if (const double rate = swept.summary_number("activation_rate");
      rate >= runs.all_rates.low / 2 && rate <= 2 * runs.all_rates.high) {
    figure.ticks.push_back({"2 / λmax(Hₓₓ) of " + swept.label, color, {rate}});
  }
  if (runs.failed + runs.pending > 0) {
    figure.warnings.push_back(swept.label + ": " + std::to_string(runs.failed) + " runs failed and " +
                              std::to_string(runs.pending) + " are not finished");
  }
}

Figure losses_against_rates(const std::vector<SweptModel>& models) {
  Figure figure;
  figure.id = "lr-sweep";
  figure.title = "Final loss against learning rate";
  figure.caption =
      "Median over seeds of the stable runs; the band is their range. Crosses at the top: rates at which a run "
      "diverged. "
      "Dashed: the largest rate at which no seed diverged. Marks on the axis: 2 / λmax(Hₓₓ) at that rate, if it lies "
      "near the grid.";
  figure.x.label = "peak learning rate";
  figure.x.logarithmic = true;
  figure.y.label = "final cross-entropy (nats)";
  std::vector<RunsByRate> runs;
  double highest = 0;
  for (const SweptModel& model : models) {
    runs.push_back(runs_of(model));
    highest = std::max(highest, runs.back().highest_loss);
  }
  for (std::size_t i = 0; i < models.size(); ++i) {
    // Draws the crosses of several models below each other, so that all are visible.
    add_model(models[i], runs[i], color_of(i, models.size()),
              highest * (1.02 + 0.03 * static_cast<double>(models.size() - i)), figure);
  }
  figure.y.high = highest * (1.05 + 0.03 * static_cast<double>(models.size()));
  return figure;
}

/// Draws the largest stable rate of each model next to the rates that its curvature allows, one row per model.
Figure rates_of_models(const std::vector<SweptModel>& models, const LabelledRuns& input) {
  struct Series {
    const char* name;
    const char* label;
    Mark mark;
  };
  static const std::vector<Series> series = {
      {"largest_stable_lr", "largest stable rate", Mark::points},
      {"smallest_unstable_lr", "smallest unstable rate", Mark::crosses},
      {"activation_rate", "2 / λmax(Hₓₓ)", Mark::open_points},
      {"sharpness_rate", sharpness_label, Mark::open_points},
      {"preconditioned_rate", preconditioned_label, Mark::open_points},
  };
  Figure figure;
  figure.id = "stable-rates";
  figure.title = "Stable learning rates and what curvature allows";
  figure.x.label = "model";
  figure.y.label = "peak learning rate";
  figure.caption = "The rates that curvature allows are medians over seeds at the largest stable rate.";
  for (const SweptModel& model : models) {
    figure.x.names.push_back(model.label);
  }
  for (std::size_t k = 0; k < series.size(); ++k) {
    Curve curve;
    curve.label = series[k].label;
    curve.color = categorical_color(k);
    curve.mark = series[k].mark;
    for (std::size_t i = 0; i < models.size(); ++i) {
      if (const double rate = models[i].summary_number(series[k].name); std::isfinite(rate)) {
        curve.x.push_back(static_cast<double>(i + 1));
        curve.y.push_back(rate);
      }
    }
    if (!curve.x.empty()) {
      figure.curves.push_back(std::move(curve));
    }
  }
  const bool sharpness = std::any_of(figure.curves.begin(), figure.curves.end(), [](const Curve& curve) {
    return curve.label == sharpness_label || curve.label == preconditioned_label;
  });
  const std::string sequences = sharpness_sequences_text(input.runs);
  if (sharpness && !sequences.empty()) {
    figure.caption += " Sharpness and Adam's limit are of the mean loss of " + sequences + ".";
  }
  for (std::size_t i = 0; sharpness && i < input.runs.size(); ++i) {
    if (auto warning = sharpness_sequences_warning(input.runs[i], input.labels[i])) {
      figure.warnings.push_back(std::move(*warning));
    }
  }
  choose_y_scale(figure);
  return figure;
}

}  // namespace

std::vector<Figure> sweep_figures(const LabelledRuns& input) {
  const std::vector<SweptModel> models = models_of(input);
  if (models.empty()) {
    return {};
  }
  std::vector<Figure> figures = {losses_against_rates(models)};
  if (Figure rates = rates_of_models(models, input); !rates.curves.empty()) {
    figures.push_back(std::move(rates));
  }
  return figures;
}

}  // namespace hessian::analysis
