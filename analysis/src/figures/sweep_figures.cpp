#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

/// A model of a sweep and what it is called among those of all sweeps.
struct SweptModel {
  const SweepRuns* sweep;
  std::string model;
  std::string label;
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

/// A number of the sweep's summary of a model, NaN where it has none.
double summary_of(const SweptModel& swept, const std::string& name) {
  const auto numbers = swept.sweep->summary.find(name);
  const auto place = std::find(swept.sweep->models.begin(), swept.sweep->models.end(), swept.model);
  if (numbers == swept.sweep->summary.end() || place == swept.sweep->models.end()) {
    return std::nan("");
  }
  return numbers->second[static_cast<std::size_t>(place - swept.sweep->models.begin())];
}

/// The losses of a model's stable runs by rate, and the rates at which runs diverged.
struct RunsByRate {
  std::map<double, std::vector<double>> stable;
  std::map<double, int> diverged;
  Summary all_rates{};
  int failed = 0;
  int pending = 0;
  double highest_loss = 0;  ///< of a stable run; where there is none, before training
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
      ++runs.diverged[sweep.lr[i]];
    } else {
      ++(sweep.status[i] == "failed" ? runs.failed : runs.pending);
    }
  }
  if (runs.stable.empty()) {
    runs.highest_loss = summarise(sweep.initial_loss).high;
  }
  return runs;
}

void add_model(const SweptModel& swept, const RunsByRate& runs, const std::string& color, double crosses_at,
               Figure& figure) {
  Curve curve;
  curve.label = swept.label;
  curve.color = color;
  curve.mark = Mark::line_and_points;
  for (const auto& [rate, losses] : runs.stable) {
    const Summary summary = summarise(losses);
    add_point(curve, rate, summary);
  }
  figure.curves.push_back(std::move(curve));
  if (!runs.diverged.empty()) {
    Curve crosses;
    crosses.label = swept.label + ", diverged";
    crosses.in_legend = false;
    crosses.color = color;
    crosses.mark = Mark::crosses;
    for (const auto& [rate, count] : runs.diverged) {
      crosses.x.push_back(rate);
      crosses.y.push_back(crosses_at);
    }
    figure.curves.push_back(std::move(crosses));
  }
  if (const double rate = summary_of(swept, "largest_stable_lr"); std::isfinite(rate)) {
    figure.verticals.push_back({"largest stable rate of " + swept.label, color, rate, true});
  }
  // Curvature often allows rates far beyond the grid; there they would only squeeze it.
  if (const double rate = summary_of(swept, "activation_rate");
      rate >= runs.all_rates.low / 2 && rate <= 2 * runs.all_rates.high) {
    figure.ticks.push_back({"2 / λmax(Hₓₓ) of " + swept.label, color, {rate}});
  }
  if (runs.failed + runs.pending > 0) {
    figure.warnings.push_back(swept.label + ": " + std::to_string(runs.failed) + " runs failed and " +
                              std::to_string(runs.pending) + " are still to come");
  }
}

Figure losses_against_rates(const std::vector<SweptModel>& models) {
  Figure figure;
  figure.id = "lr-sweep";
  figure.title = "Final loss against learning rate";
  figure.caption =
      "Median over seeds of the runs that stayed stable; the band is their range. Crosses, at the top: rates at which "
      "a run diverged. Dashed: the largest rate at which no seed did. Strokes on the axis: 2 / λmax(Hₓₓ) at that rate, "
      "where it lies near the grid.";
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
    // Crosses of several models lie below each other, lest they hide one another.
    add_model(models[i], runs[i], color_of(i, models.size()),
              highest * (1.02 + 0.03 * static_cast<double>(models.size() - i)), figure);
  }
  figure.y.high = highest * (1.05 + 0.03 * static_cast<double>(models.size()));
  return figure;
}

/// A model's largest stable rate beside the rates that its curvature allows, one row a model.
Figure rates_of_models(const std::vector<SweptModel>& models) {
  struct Kind {
    const char* name;
    const char* label;
    Mark mark;
  };
  static const std::vector<Kind> kinds = {
      {"largest_stable_lr", "largest stable rate", Mark::points},
      {"smallest_unstable_lr", "smallest unstable rate", Mark::crosses},
      {"activation_rate", "2 / λmax(Hₓₓ)", Mark::open_points},
      {"sharpness_rate", "2 / sharpness", Mark::open_points},
      {"preconditioned_rate", "Adam's limit", Mark::open_points},
  };
  Figure figure;
  figure.id = "stable-rates";
  figure.title = "Stable learning rates and what curvature allows";
  figure.x.label = "model";
  figure.y.label = "peak learning rate";
  figure.caption = "The rates that curvature allows are medians over the seeds at the largest stable rate.";
  for (const SweptModel& model : models) {
    figure.x.names.push_back(model.label);
  }
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    Curve curve;
    curve.label = kinds[k].label;
    curve.color = categorical_color(k);
    curve.mark = kinds[k].mark;
    for (std::size_t i = 0; i < models.size(); ++i) {
      if (const double rate = summary_of(models[i], kinds[k].name); std::isfinite(rate)) {
        curve.x.push_back(static_cast<double>(i + 1));
        curve.y.push_back(rate);
      }
    }
    if (!curve.x.empty()) {
      figure.curves.push_back(std::move(curve));
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
  if (Figure rates = rates_of_models(models); !rates.curves.empty()) {
    figures.push_back(std::move(rates));
  }
  return figures;
}

}  // namespace hessian::analysis
