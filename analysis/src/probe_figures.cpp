#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "figure_builders.h"
#include "summary.h"

namespace analysis {
namespace {

const std::string norm_label = "‖Hₓₓ‖₂ (nats)";

/// A run's probes of a site, and what the run is called.
struct LabelledSite {
  const SiteProbes* probes;
  std::string label;
  std::size_t run;
};

/// All runs that probed a site and have written a probe.
std::vector<LabelledSite> sites_named(const LabelledRuns& input, const std::string& site) {
  std::vector<LabelledSite> found;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const SiteProbes& probes : input.runs[i].sites) {
      if (probes.site == site && !probes.steps.empty()) {
        found.push_back({&probes, input.labels[i], i});
      }
    }
  }
  return found;
}

std::vector<std::string> site_names(const LabelledRuns& input) {
  static const std::vector<std::string> order = {"residual", "attn_in", "attn_proj_in", "ffn_in", "ffn_down_in"};
  std::set<std::string> names;
  for (const RunContent& run : input.runs) {
    for (const SiteProbes& site : run.sites) {
      names.insert(site.site);
    }
  }
  std::vector<std::string> sorted;
  for (const std::string& name : order) {
    if (names.erase(name) > 0) {
      sorted.push_back(name);
    }
  }
  sorted.insert(sorted.end(), names.begin(), names.end());
  return sorted;
}

std::vector<double> as_numbers(const std::vector<int64_t>& values) {
  return {values.begin(), values.end()};
}

/// Some of n places in a row, the first and the last among them.
std::vector<std::size_t> spread_over(std::size_t n, std::size_t most) {
  std::set<std::size_t> places;
  for (std::size_t i = 0; i < std::min(n, most); ++i) {
    places.insert(most == 1 ? n - 1 : i * (n - 1) / (std::min(n, most) - (n > 1 ? 1 : 0)));
  }
  return {places.begin(), places.end()};
}

void warn_of_unconverged(const LabelledSite& site, std::size_t probe, Figure& figure) {
  if (const int64_t open = site.probes->unconverged(probe); open > 0) {
    figure.warnings.push_back(
        site.label + ": " + std::to_string(open) + " of " +
        std::to_string(site.probes->layers.size() * static_cast<std::size_t>(site.probes->sequences)) +
        " estimates at step " + std::to_string(site.probes->steps[probe]) +
        " did not reach their tolerance; blocks with such ones are drawn with open circles");
  }
}

/// Median and range over the sequences of one probe, by block; open circles where an estimate has not converged.
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
    curve.x.push_back(static_cast<double>(site.probes->layers[row]));
    curve.y.push_back(summary.median);
    curve.low.push_back(summary.low);
    curve.high.push_back(summary.high);
    const auto first = (probe * site.probes->layers.size() + row) * static_cast<std::size_t>(site.probes->sequences);
    for (std::size_t i = first;
         i < std::min(first + static_cast<std::size_t>(site.probes->sequences), site.probes->converged.size()); ++i) {
      if (site.probes->converged[i] == 0 && std::isfinite(summary.median)) {
        open.x.push_back(curve.x.back());
        open.y.push_back(curve.y.back());
        break;
      }
    }
  }
  figure.curves.push_back(std::move(curve));
  if (!open.x.empty()) {
    figure.curves.push_back(std::move(open));
  }
  warn_of_unconverged(site, probe, figure);
}

Figure norms_by_layer(const std::string& name, const std::vector<LabelledSite>& sites) {
  Figure figure;
  figure.id = "spectral-norm-" + name;
  figure.title = "Spectral norm of the activation Hessian: " + name;
  figure.x.label = "block (the last is the final norm's input)";
  if (name != "residual") {
    figure.x.label = "block";
  }
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
      add_norms(site, last, site.label + ", step " + std::to_string(site.probes->steps[last]),
                categorical_color(site.run), figure);
    }
    figure.caption = "The last probe of each run: median over its sequences; the band is their range.";
  }
  choose_y_scale(figure);
  return figure;
}

/// Medians over sequences, [N, P].
std::vector<double> median_norms(const SiteProbes& probes) {
  std::vector<double> medians;
  for (std::size_t row = 0; row < probes.layers.size(); ++row) {
    for (std::size_t probe = 0; probe < probes.steps.size(); ++probe) {
      medians.push_back(summarise(probes.over_sequences(probes.spectral_norm, probe, row)).median);
    }
  }
  return medians;
}

/// Ends of ids and titles of the i-th of several figures of one kind.
std::string numbered(std::size_t i, std::size_t n) {
  return n > 1 ? "-" + std::to_string(i + 1) : "";
}

/// One scale of colours for all, so that they compare.
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
    figure.y.label = "block";
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
    {"feature-outlier", "Outlying features", "largest RMS of a feature / RMS of all", &SiteProbes::feature_outlier},
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
        curve.color = sites.size() == 1 ? sequential_color(i, probes.size()) : categorical_color(site.run);
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
      curve.color = categorical_color(site.run);
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

std::vector<Figure> probe_figures(const LabelledRuns& input) {
  std::vector<Figure> figures;
  for (const std::string& name : site_names(input)) {
    const std::vector<LabelledSite> sites = sites_named(input, name);
    if (sites.empty()) {
      continue;
    }
    figures.push_back(norms_by_layer(name, sites));
    add_heat_maps(name, sites, figures);
    add_scales(name, sites, figures);
    add_scales_over_training(name, sites, figures);
  }
  return figures;
}

}  // namespace analysis
