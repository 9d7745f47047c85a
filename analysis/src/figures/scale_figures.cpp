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
    figure.x.label = "block";
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

/// RMS against steps: a curve for each block of one run, or for each of several runs the median block with the range of
/// all.
void add_scales_over_training(const std::string& name, const std::vector<LabelledSite>& sites,
                              std::vector<Figure>& figures) {
  Figure figure;
  figure.id = "rms-over-training-" + name;
  figure.title = "Activation scale along training: " + name;
  figure.x.label = "training step";
  figure.y.label = "RMS";
  for (const LabelledSite& site : sites) {
    const SiteProbes& probes = *site.probes;
    if (probes.steps.size() < 2 || probes.rms.empty()) {
      continue;
    }
    const std::size_t blocks = probes.layers.size();
    if (sites.size() > 1) {
      Curve curve;
      curve.label = site.label;
      curve.color = site.color;
      curve.mark = Mark::line_and_points;
      curve.x = as_numbers(probes.steps);
      for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
        const auto first = probes.rms.begin() + static_cast<std::ptrdiff_t>(probe * blocks);
        const Summary summary = summarise({first, first + static_cast<std::ptrdiff_t>(blocks)});
        curve.y.push_back(summary.median);
        curve.low.push_back(summary.low);
        curve.high.push_back(summary.high);
      }
      figure.curves.push_back(std::move(curve));
      continue;
    }
    const auto named = spread_over(blocks, 8);
    for (std::size_t row = 0; row < blocks; ++row) {
      Curve curve;
      curve.label = "block " + std::to_string(probes.layers[row]);
      curve.in_legend = std::find(named.begin(), named.end(), row) != named.end();
      curve.color = sequential_color(row, blocks);
      curve.mark = Mark::line_and_points;
      curve.x = as_numbers(probes.steps);
      for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
        curve.y.push_back(probes.rms[probe * blocks + row]);
      }
      figure.curves.push_back(std::move(curve));
    }
  }
  figure.caption = sites.size() > 1 ? "Median over blocks; the band reaches from the smallest to the largest block."
                                    : "A curve for each block.";
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
