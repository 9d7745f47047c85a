#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>
#include <utility>

#include "content/summary.h"
#include "figures/labelled_sites.h"

namespace hessian::analysis {
namespace {

const std::string norm_label = "‖Hₓₓ‖₂ (nats)";

void warn_of_unconverged(const LabelledSite& site, std::size_t probe, Figure& figure) {
  if (const int64_t open = site.probes->unconverged(probe); open > 0) {
    figure.warnings.push_back(
        site.label + ": " + std::to_string(open) + " of " +
        std::to_string(site.probes->layers.size() * static_cast<std::size_t>(site.probes->sequences)) +
        " estimates at step " + std::to_string(site.probes->steps[probe]) +
        " did not reach their tolerance; their layers have open circles");
  }
}

/// Returns marks at the medians of the upper bounds where these are visibly above the medians of the norms.
Curve bounds_of(const LabelledSite& site, std::size_t probe, const std::string& label, const std::string& color) {
  constexpr double visible = 1.02;
  Curve bounds;
  bounds.label = label + ", upper bound";
  bounds.in_legend = false;
  bounds.color = color;
  bounds.mark = Mark::bounds;
  for (std::size_t row = 0; !site.probes->norm_upper.empty() && row < site.probes->layers.size(); ++row) {
    const double norm = summarise(site.probes->over_sequences(site.probes->spectral_norm, probe, row)).median;
    const double bound = summarise(site.probes->over_sequences(site.probes->norm_upper, probe, row)).median;
    if (std::isfinite(bound) && bound > visible * norm) {
      bounds.x.push_back(static_cast<double>(site.probes->layers[row]));
      bounds.y.push_back(bound);
    }
  }
  return bounds;
}

/// Draws one probe by layer: median and range over sequences; open circles mark layers with unconverged estimates, and
/// triangles upper bounds that are visibly above them.
void add_norms(const LabelledSite& site, std::size_t probe, const std::string& label, const std::string& color,
               Figure& figure) {
  Curve curve;
  Curve open;
  curve.label = label;
  open.label = label + ", not converged";
  open.in_legend = false;
  curve.color = open.color = color;
  curve.mark = Mark::line_and_points;
  open.mark = Mark::open_points;
  for (std::size_t row = 0; row < site.probes->layers.size(); ++row) {
    const Summary summary = summarise(site.probes->over_sequences(site.probes->spectral_norm, probe, row));
    add_point(curve, static_cast<double>(site.probes->layers[row]), summary);
    if (site.probes->unconverged(probe, row) > 0) {
      open.x.push_back(curve.x.back());
      open.y.push_back(curve.y.back());
    }
  }
  figure.curves.push_back(std::move(curve));
  if (!open.x.empty()) {
    figure.curves.push_back(std::move(open));
  }
  if (Curve bounds = bounds_of(site, probe, label, color); !bounds.x.empty()) {
    figure.curves.push_back(std::move(bounds));
  }
  warn_of_unconverged(site, probe, figure);
}

Figure norms_by_layer(const std::string& name, const std::vector<LabelledSite>& sites) {
  Figure figure;
  figure.id = "spectral-norm-" + name;
  figure.title = "Spectral norm of the activation Hessian: " + name;
  figure.x.label = name == "residual" ? "layer (the last is the final norm's input)" : "layer";
  figure.x.whole = true;
  figure.y.label = norm_label;
  if (sites.size() == 1) {
    const auto probes = spread_over(sites[0].probes->steps.size(), 6);
    for (std::size_t i = 0; i < probes.size(); ++i) {
      add_norms(sites[0], probes[i], "step " + std::to_string(sites[0].probes->steps[probes[i]]),
                sequential_color(i, probes.size()), figure);
    }
    figure.caption =
        "Median over " + std::to_string(sites[0].probes->sequences) + " sequences; the band is their range.";
  } else {
    for (const LabelledSite& site : sites) {
      const std::size_t last = site.probes->steps.size() - 1;
      add_norms(site, last, site.label + ", step " + std::to_string(site.probes->steps[last]), site.color, figure);
    }
    figure.caption = "The last probe of each run: median over its sequences; the band is their range.";
  }
  if (std::any_of(figure.curves.begin(), figure.curves.end(),
                  [](const Curve& curve) { return curve.mark == Mark::bounds; })) {
    figure.caption += " Triangles are certified upper bounds, where they lie more than 2 % above the median.";
  }
  choose_y_scale(figure);
  return figure;
}

/// Returns the medians over sequences, [N, P].
std::vector<double> median_norms(const SiteProbes& probes) {
  std::vector<double> medians;
  for (std::size_t row = 0; row < probes.layers.size(); ++row) {
    for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
      medians.push_back(summarise(probes.over_sequences(probes.spectral_norm, probe, row)).median);
    }
  }
  return medians;
}

/// Gives all heat maps one colour scale, so that they can be compared.
void share_colors(std::vector<Figure>& figures) {
  std::vector<double> all;
  for (const Figure& figure : figures) {
    all.insert(all.end(), figure.heat_map->values.begin(), figure.heat_map->values.end());
  }
  const Summary summary = summarise(all);
  for (Figure& figure : figures) {
    figure.heat_map->logarithmic = spans_decades(all);
    if (summary.low < summary.high) {
      figure.heat_map->low = summary.low;
      figure.heat_map->high = summary.high;
    }
  }
}

void add_heat_maps(const std::string& name, const std::vector<LabelledSite>& sites, std::vector<Figure>& figures) {
  std::vector<LabelledSite> trained;
  constexpr std::size_t max_maps = 12;  // more cannot be compared by eye
  if (sites.size() > max_maps) {
    return;
  }
  std::copy_if(sites.begin(), sites.end(), std::back_inserter(trained),
               [](const LabelledSite& site) { return site.probes->steps.size() > 1; });
  std::vector<Figure> maps;
  for (std::size_t i = 0; i < trained.size(); ++i) {
    const SiteProbes& probes = *trained[i].probes;
    Figure figure;
    figure.id = "spectral-norm-over-training-" + name + numbered(i, trained.size());
    figure.title = "Spectral norm along training: " + name;
    figure.caption = trained[i].label + ": median over sequences.";
    figure.x.label = "training step";
    figure.y.label = "layer";
    figure.heat_map =
        HeatMap{norm_label, as_numbers(probes.steps), as_numbers(probes.layers), median_norms(probes), false, {}, {}};
    for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
      if (const int64_t open = probes.unconverged(probe); open > 0) {
        figure.warnings.push_back("step " + std::to_string(probes.steps[probe]) + ": " + std::to_string(open) +
                                  " estimates did not reach their tolerance");
      }
    }
    maps.push_back(std::move(figure));
  }
  share_colors(maps);
  figures.insert(figures.end(), std::make_move_iterator(maps.begin()), std::make_move_iterator(maps.end()));
}

}  // namespace

std::vector<Figure> probe_figures(const LabelledRuns& input) {
  std::vector<Figure> figures;
  for (const std::string& name : site_names(input)) {
    const std::vector<LabelledSite> sites = sites_named(input, name);
    if (sites.empty()) {
      continue;
    }
    figures.push_back(norms_by_layer(name, sites));
    add_heat_maps(name, sites, figures);
    std::vector<Figure> scales = scale_figures(name, sites);
    figures.insert(figures.end(), std::make_move_iterator(scales.begin()), std::make_move_iterator(scales.end()));
  }
  return figures;
}

}  // namespace hessian::analysis
