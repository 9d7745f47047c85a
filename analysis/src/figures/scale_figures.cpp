#include <algorithm>
#include <string>
#include <utility>

#include "content/summary.h"
#include "figures/labelled_sites.h"

namespace hessian::analysis {
namespace {

struct Scale {
  const char* id;
  const char* title;
  const char* label;
  std::vector<double> SiteProbes::*values;
};

const std::vector<Scale> scales = {
    {"rms", "Root mean square of activations", "RMS", &SiteProbes::rms},
    {"abs-max", "Largest activations", "largest |x|", &SiteProbes::abs_max},
    {"abs-mean", "Mean absolute activations", "mean |x|", &SiteProbes::abs_mean},
    {"feature-outlier", "Outlying features", "largest feature RMS / RMS", &SiteProbes::feature_outlier},
};

Curve scale_by_layer(const LabelledSite& site, const Scale& scale, std::size_t probe) {
  Curve curve;
  curve.mark = Mark::line_and_points;
  curve.x = as_numbers(site.probes->layers);
  const std::vector<double>& values = site.probes->*scale.values;
  const auto first = values.begin() + static_cast<std::ptrdiff_t>(probe * curve.x.size());
  curve.y.assign(first, first + static_cast<std::ptrdiff_t>(curve.x.size()));
  return curve;
}

void add_scales(const std::string& name, const std::vector<LabelledSite>& sites, std::vector<Figure>& figures) {
  for (const Scale& scale : scales) {
    Figure figure;
    figure.id = std::string(scale.id) + "-" + name;
    figure.title = std::string(scale.title) + ": " + name;
    figure.x.label = "layer";
    figure.x.whole = true;
    figure.y.label = scale.label;
    figure.caption = "Over all probed sequences, positions and features";
    for (const LabelledSite& site : sites) {
      if ((site.probes->*scale.values).empty()) {
        continue;
      }
      const std::size_t count = site.probes->steps.size();
      const auto probes = spread_over(count, sites.size() == 1 ? 6 : 2);
      for (std::size_t i = 0; i < probes.size(); ++i) {
        Curve curve = scale_by_layer(site, scale, probes[i]);
        const std::string step = "step " + std::to_string(site.probes->steps[probes[i]]);
        curve.label = sites.size() == 1 ? step : site.label + ", " + step;
        curve.color = sites.size() == 1 ? sequential_color(i, probes.size()) : site.color;
        curve.dashed = sites.size() > 1 && i + 1 < probes.size();
        curve.in_legend = !curve.dashed;
        figure.curves.push_back(std::move(curve));
      }
    }
    figure.caption += sites.size() > 1 ? "; dashed: the first probe of a run, where it has several." : ".";
    if (!figure.curves.empty()) {
      choose_y_scale(figure);
      figures.push_back(std::move(figure));
    }
  }
}

/// Returns the RMS along training: median over the layers, and their range.
Curve rms_of_run(const LabelledSite& site) {
  const SiteProbes& probes = *site.probes;
  const auto layers = static_cast<std::ptrdiff_t>(probes.layers.size());
  Curve curve;
  curve.label = site.label;
  curve.color = site.color;
  curve.mark = Mark::line_and_points;
  for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
    const auto first = probes.rms.begin() + static_cast<std::ptrdiff_t>(probe) * layers;
    add_point(curve, static_cast<double>(probes.steps[probe]), summarise({first, first + layers}));
  }
  return curve;
}

/// Returns the RMS of each layer along training.
std::vector<Curve> rms_of_layers(const SiteProbes& probes) {
  constexpr std::size_t max_named = 8;
  const std::size_t layers = probes.layers.size();
  const auto named = spread_over(layers, max_named);
  std::vector<Curve> curves;
  for (std::size_t row = 0; row < layers; ++row) {
    Curve curve;
    curve.label = "layer " + std::to_string(probes.layers[row]);
    curve.in_legend = std::find(named.begin(), named.end(), row) != named.end();
    curve.color = sequential_color(row, layers);
    curve.mark = Mark::line_and_points;
    curve.x = as_numbers(probes.steps);
    for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
      curve.y.push_back(probes.rms[probe * layers + row]);
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

/// Draws the RMS against steps: a curve per layer for one run, a curve per run for several.
void add_scales_over_training(const std::string& name, const std::vector<LabelledSite>& sites,
                              std::vector<Figure>& figures) {
  Figure figure;
  figure.id = "rms-over-training-" + name;
  figure.title = "Activation scale along training: " + name;
  figure.x.label = "training step";
  figure.y.label = "RMS";
  for (const LabelledSite& site : sites) {
    if (site.probes->steps.size() < 2 || site.probes->rms.empty()) {
      continue;
    }
    if (sites.size() > 1) {
      figure.curves.push_back(rms_of_run(site));
    } else {
      figure.curves = rms_of_layers(*site.probes);
    }
  }
  figure.caption = sites.size() > 1 ? "Median over layers; the band is their range." : "One curve per layer.";
  if (!figure.curves.empty()) {
    choose_y_scale(figure);
    figures.push_back(std::move(figure));
  }
}

}  // namespace

std::vector<Figure> scale_figures(const std::string& name, const std::vector<LabelledSite>& sites) {
  std::vector<Figure> figures;
  add_scales(name, sites, figures);
  add_scales_over_training(name, sites, figures);
  return figures;
}

}  // namespace hessian::analysis
