#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "content/sharpness_sequences.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

constexpr std::size_t max_points = 1000;  // more are indistinguishable on a page

/// Returns a quantity of every step as a curve. Condenses long runs to the medians and ranges of equal stretches of
/// steps, so that a spike of a single step remains visible in a range.
Curve curve_of_steps(const std::vector<int64_t>& steps, const std::vector<double>& values) {
  Curve curve;
  if (steps.size() <= max_points) {
    curve.x.assign(steps.begin(), steps.end());
    curve.y = values;
    return curve;
  }
  curve.band_edges = true;
  const std::size_t stretch = (steps.size() + max_points - 1) / max_points;
  for (std::size_t first = 0; first < steps.size(); first += stretch) {
    const auto from = static_cast<std::ptrdiff_t>(first);
    const auto to = static_cast<std::ptrdiff_t>(std::min(first + stretch, steps.size()));
    const Summary summary = summarise({values.begin() + from, values.begin() + to});
    add_point(curve, static_cast<double>(steps[first] + steps[static_cast<std::size_t>(to) - 1]) / 2, summary);
  }
  return curve;
}

struct StepQuantity {
  const char* id;
  const char* title;
  const char* label;
  std::vector<double> TrainingCurves::*values;
};

const std::vector<StepQuantity> step_quantities = {
    {"loss", "Loss", "cross-entropy (nats)", &TrainingCurves::loss},
    {"grad-norm", "Gradient norm, before clipping", "‖gradient‖₂", &TrainingCurves::grad_norm},
    {"learning-rate", "Learning rate", "learning rate", &TrainingCurves::lr},
};

Curve validation_curve(const TrainingCurves& training, const std::string& label, const std::string& color) {
  Curve curve;
  curve.label = label;
  curve.color = color;
  curve.mark = Mark::points;
  curve.x.assign(training.val_steps.begin(), training.val_steps.end());
  curve.y = training.val_loss;
  return curve;
}

Figure figure_of_steps(const StepQuantity& quantity, const LabelledRuns& input) {
  Figure figure;
  figure.id = quantity.id;
  figure.title = quantity.title;
  figure.x.label = "training step";
  figure.y.label = quantity.label;
  const bool losses = quantity.values == &TrainingCurves::loss;
  bool condensed = false;
  const auto trained = std::count_if(input.runs.begin(), input.runs.end(), [](const RunContent& run) {
    return run.training && !run.training->steps.empty();
  });
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    const auto& training = input.runs[i].training;
    if (!training || training->steps.empty()) {
      continue;
    }
    Curve curve = curve_of_steps(training->steps, (*training).*quantity.values);
    condensed = condensed || !curve.low.empty();
    curve.color = input.color(i);
    curve.label = trained > 1 ? input.labels[i] : "training";
    curve.in_legend = trained > 1 || losses;
    figure.curves.push_back(std::move(curve));
    if (losses && !training->val_steps.empty()) {
      Curve validation = trained > 1 ? validation_curve(*training, input.labels[i] + ", validation", input.color(i))
                                     : validation_curve(*training, "validation", categorical_color(1));
      validation.in_legend = trained == 1;
      figure.curves.push_back(std::move(validation));
    }
  }
  if (losses) {
    figure.caption = trained > 1 ? "Lines: training; dots: validation. " : "";
  }
  figure.caption += condensed ? "Medians of equal stretches of steps; the band is their range." : "";
  if (quantity.values != &TrainingCurves::lr) {
    choose_y_scale(figure);
  }
  return figure;
}

/// Thresholds of the two kinds of sharpness, times the learning rate.
struct Thresholds {
  double sharpness = 0;       ///< of gradient descent, with or without momentum
  double preconditioned = 0;  ///< of Adam with its preconditioner frozen
};

/// Returns the thresholds of a run, nothing if its configuration cannot be parsed.
std::optional<Thresholds> thresholds_of(const RunContent& run) {
  try {
    const toml::table config = toml::parse(run.info.config);
    const bool sgd = config["optimizer"]["name"].value_or(std::string("adamw")) == "sgd";
    const double momentum = config["optimizer"]["momentum"].value_or(0.0);
    const double beta1 = config["optimizer"]["beta1"].value_or(0.9);
    return Thresholds{sgd ? 2 * (1 + momentum) : 2.0, (2 + 2 * beta1) / (1 - beta1)};
  } catch (const toml::parse_error&) {
    return std::nullopt;
  }
}

/// Returns the learning rate of the update that follows `step` updates, or of the last update if none follows; NaN if
/// there are no updates.
double rate_after(const TrainingCurves& training, int64_t step) {
  const auto next = std::lower_bound(training.steps.begin(), training.steps.end(), step + 1);
  if (training.steps.empty()) {
    return std::nan("");
  }
  const auto row = std::min<std::ptrdiff_t>(next - training.steps.begin(), std::ssize(training.steps) - 1);
  return training.lr[static_cast<std::size_t>(row)];
}

struct SharpnessKind {
  const char* id;
  const char* title;
  const char* label;
  const char* caption;
  std::optional<SharpnessCurve> RunContent::*curve;
  double Thresholds::*threshold;
};

const std::vector<SharpnessKind> sharpness_kinds = {
    {"sharpness", "Sharpness", "λmax of the parameter Hessian (nats)",
     "Dashed: 2 / learning rate, above which gradient descent is unstable on a quadratic (2 (1 + momentum) / learning "
     "rate for SGD with momentum).",
     &RunContent::sharpness, &Thresholds::sharpness},
    {"preconditioned-sharpness", "Preconditioned sharpness", "λmax of c P^-½ H P^-½ (nats)",
     "c is the mean factor by which gradients were clipped while Adam's diagonal P was built; coordinates that no "
     "update has moved are left out. Dashed: (2 + 2 beta1) / (1 - beta1) / learning rate, above which Adam with P "
     "frozen is unstable on a quadratic.",
     &RunContent::preconditioned_sharpness, &Thresholds::preconditioned},
};

std::optional<Figure> sharpness_figure(const SharpnessKind& kind, const LabelledRuns& input) {
  Figure figure;
  figure.id = kind.id;
  figure.title = kind.title;
  if (const std::string sequences = sharpness_sequences_text(input.runs); !sequences.empty()) {
    figure.caption = "Of the mean loss of " + sequences + ". ";
  }
  figure.caption += kind.caption;
  figure.x.label = "training step";
  figure.y.label = kind.label;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    const RunContent& run = input.runs[i];
    const auto& sharpness = run.*kind.curve;
    if (!sharpness || sharpness->steps.empty()) {
      continue;
    }
    Curve curve;
    curve.label = input.runs.size() > 1 ? input.labels[i] : "measured";
    curve.color = input.color(i);
    curve.mark = Mark::line_and_points;
    curve.x.assign(sharpness->steps.begin(), sharpness->steps.end());
    curve.y = sharpness->lambda_max;
    const auto open = std::count(sharpness->converged.begin(), sharpness->converged.end(), 0);
    const auto unknown =
        std::count_if(curve.y.begin(), curve.y.end(), [](double value) { return !std::isfinite(value); });
    if (open > unknown) {
      figure.warnings.push_back(input.labels[i] + ": " + std::to_string(open - unknown) + " of " +
                                std::to_string(curve.y.size()) + " estimates did not reach their tolerance");
    }
    if (auto warning = sharpness_sequences_warning(run, input.labels[i])) {
      figure.warnings.push_back(std::move(*warning));
    }
    figure.curves.push_back(curve);
    if (const auto thresholds = thresholds_of(run); thresholds && run.training) {
      Curve limit;
      limit.label = curve.label + ", threshold";
      limit.in_legend = false;
      limit.color = curve.color;
      limit.dashed = true;
      limit.x = curve.x;
      for (const int64_t step : sharpness->steps) {
        const double rate = rate_after(*run.training, step);
        limit.y.push_back(rate > 0 ? (*thresholds).*kind.threshold / rate : std::nan(""));
      }
      figure.curves.push_back(std::move(limit));
    }
  }
  if (figure.curves.empty()) {
    return std::nullopt;
  }
  choose_y_scale(figure);
  return figure;
}

}  // namespace

std::vector<Figure> training_figures(const LabelledRuns& input) {
  std::vector<Figure> figures;
  for (const StepQuantity& quantity : step_quantities) {
    Figure figure = figure_of_steps(quantity, input);
    if (!figure.curves.empty()) {
      figures.push_back(std::move(figure));
    }
  }
  for (const SharpnessKind& kind : sharpness_kinds) {
    if (auto figure = sharpness_figure(kind, input)) {
      figures.push_back(std::move(*figure));
    }
  }
  return figures;
}

}  // namespace hessian::analysis
