#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "content/layer_groups.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

struct EstimatedQuantity {
  const char* id;
  const char* title;
  const char* label;
  bool has_units;
  SpectrumEstimate GroupSpectrum::*estimate;
};

const std::vector<EstimatedQuantity> estimated_quantities = {
    {"trace", "Trace by layer", "tr H", true, &GroupSpectrum::trace},
    {"frobenius-norm", "Frobenius norm by layer", "‖H‖_F", true, &GroupSpectrum::frobenius_norm},
    {"effective-rank", "Effective rank by layer", "(tr H)² / tr H²", false, &GroupSpectrum::effective_rank},
};

Figure figure_of(const EstimatedQuantity& quantity, const std::string& kind, const LabelledRuns& input) {
  Figure figure;
  figure.id = std::string(quantity.id) + "-" + file_part(kind);
  figure.title = std::string(quantity.title) + ": " + kind;
  figure.caption =
      "Mean over sequences with its standard error, which comes from the random samples; the sequences themselves "
      "differ "
      "by more.";
  if (quantity.estimate == &GroupSpectrum::effective_rank) {
    figure.caption +=
        " Left out are matrices whose trace is within 2 standard errors of zero, because they determine no rank.";
  }
  figure.x.label = "layer";
  figure.x.whole = true;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    const auto kinds = by_kind_and_layer(input.runs[i].spectra);
    const auto layers = kinds.find(kind);
    if (layers == kinds.end()) {
      continue;
    }
    Curve curve;
    curve.label = input.labels[i];
    curve.in_legend = input.runs.size() > 1;
    curve.color = input.color(i);
    curve.mark = input.runs.size() > 1 ? Mark::line_and_points : Mark::points;
    for (const auto& [layer, spectrum] : layers->second) {
      const SpectrumEstimate& estimate = spectrum->*quantity.estimate;
      if (!estimate.value.empty()) {
        const MeanEstimate mean = mean_of(estimate);
        add_point(curve, static_cast<double>(layer), {mean.value, mean.value - mean.error, mean.value + mean.error});
        figure.y.label = quantity.label + (quantity.has_units ? units_suffix(spectrum->units) : "");
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

std::vector<Figure> estimate_figures(const LabelledRuns& input) {
  std::set<std::string> kinds;
  for (const RunContent& run : input.runs) {
    for (const auto& [kind, layers] : by_kind_and_layer(run.spectra)) {
      if (layers.size() > 1) {  // the tables suffice for a single layer
        kinds.insert(kind);
      }
    }
  }
  std::vector<Figure> figures;
  for (const std::string& kind : kinds) {
    for (const EstimatedQuantity& quantity : estimated_quantities) {
      figures.push_back(figure_of(quantity, kind, input));
    }
  }
  return figures;
}

}  // namespace hessian::analysis
