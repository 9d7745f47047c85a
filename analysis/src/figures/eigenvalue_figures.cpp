#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "content/layer_groups.h"
#include "content/summary.h"
#include "figures/figure_builders.h"
#include "figures/group_figures.h"

namespace hessian::analysis {
namespace {

/// Returns the eigenvalues of one end by rank: median over the matrices, and a band from the smallest minus its residual
/// norm to the largest plus its own, which certainly holds an eigenvalue.
Curve by_rank(const GroupSpectrum& spectrum, const SpectrumEnd& end) {
  Curve curve;
  curve.mark = Mark::points;
  const auto count = static_cast<std::size_t>(spectrum.count);
  for (std::size_t rank = 0; rank < count; ++rank) {
    std::vector<double> values;
    std::vector<double> bounds;
    for (std::size_t i = rank; i < end.lambda.size(); i += count) {
      values.push_back(end.lambda[i]);
      bounds.push_back(end.lambda[i] - end.residual[i]);
      bounds.push_back(end.lambda[i] + end.residual[i]);
    }
    const Summary reach = summarise(bounds);
    add_point(curve, static_cast<double>(rank + 1), {summarise(values).median, reach.low, reach.high});
  }
  return curve;
}

/// Returns open circles at the ranks at which at least one matrix has an unconverged pair.
Curve open_of(const GroupSpectrum& spectrum, const SpectrumEnd& end, const Curve& curve) {
  Curve open;
  open.label = curve.label + ", not converged";
  open.color = curve.color;
  open.mark = Mark::open_points;
  open.in_legend = false;
  const auto count = static_cast<std::size_t>(spectrum.count);
  std::set<std::size_t> ranks;
  for (std::size_t i = 0; i < end.converged.size(); ++i) {
    if (end.converged[i] == 0 && std::isfinite(end.lambda[i])) {
      ranks.insert(i % count);
    }
  }
  for (const std::size_t rank : ranks) {
    open.x.push_back(curve.x[rank]);
    open.y.push_back(curve.y[rank]);
  }
  return open;
}

void warn_of_unconverged(const std::string& label, const GroupSpectrum& spectrum, Figure& figure) {
  const int64_t open = spectrum.upper.unconverged() + spectrum.lower.unconverged();
  if (open > 0) {
    figure.warnings.push_back(label + ": " + std::to_string(open) + " of " +
                              std::to_string(spectrum.upper.lambda.size() + spectrum.lower.lambda.size()) +
                              " eigenpairs of " + spectrum.name +
                              " did not reach their tolerance; their ranks have open circles");
  }
}

/// Draws one group of all runs that have it.
Figure eigenvalues_of_group(const std::string& name, const LabelledRuns& input) {
  Figure figure;
  figure.id = "eigenvalues-" + file_part(name);
  figure.title = "Eigenvalues at both ends: " + name;
  figure.x.label = "rank, from the outside in";
  figure.x.whole = true;
  figure.caption =
      "The largest and the smallest eigenvalues: median over sequences; the bars are their range, residual norms "
      "included.";
  const bool alone = input.runs.size() == 1;
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    for (const GroupSpectrum& spectrum : input.runs[i].spectra) {
      if (spectrum.name != name || spectrum.count == 0) {
        continue;
      }
      figure.y.label = "eigenvalue" + units_suffix(spectrum.units);
      for (const bool upper : {true, false}) {
        const SpectrumEnd& end = upper ? spectrum.upper : spectrum.lower;
        if (end.lambda.empty()) {
          continue;
        }
        Curve curve = by_rank(spectrum, end);
        const std::string word = upper ? "largest" : "smallest";
        curve.label = alone ? word : input.labels[i] + (upper ? "" : ", smallest");
        curve.in_legend = alone || upper;
        curve.color = alone ? categorical_color(upper ? 0 : 1) : input.color(i);
        curve.mark = alone ? Mark::points : Mark::line_and_points;  // bars of several would cover each other
        Curve open = open_of(spectrum, end, curve);
        figure.curves.push_back(std::move(curve));
        if (!open.x.empty()) {
          figure.curves.push_back(std::move(open));
        }
      }
      warn_of_unconverged(input.labels[i], spectrum, figure);
    }
  }
  return figure;
}

/// Draws the layers of a kind in one run, by magnitude, since their scales differ by decades.
Figure eigenvalues_by_layer(const std::string& kind, const LayerGroups<GroupSpectrum>& layers,
                            const std::string& label) {
  Figure figure;
  figure.title = "Eigenvalues at both ends by layer: " + kind;
  figure.caption = "Medians over sequences. Solid: the largest, if positive; dashed: the smallest, if negative.";
  figure.x.label = "rank, from the outside in";
  figure.x.whole = true;
  std::size_t drawn = 0;
  for (const auto& [layer, spectrum] : layers) {
    const std::string color = sequential_color(drawn++, layers.size());
    figure.y.label = "|eigenvalue|" + units_suffix(spectrum->units);
    for (const bool upper : {true, false}) {
      const SpectrumEnd& end = upper ? spectrum->upper : spectrum->lower;
      if (end.lambda.empty()) {
        continue;
      }
      Curve curve = by_rank(*spectrum, end);
      curve.label = "layer " + std::to_string(layer) + (upper ? "" : ", smallest");
      curve.in_legend = upper;
      curve.color = color;
      curve.mark = Mark::line_and_points;
      curve.dashed = !upper;
      curve.low.clear();
      curve.high.clear();
      for (double& value : curve.y) {
        const double magnitude = upper ? value : -value;
        value = magnitude > 0 ? magnitude : NAN;
      }
      figure.curves.push_back(std::move(curve));
    }
    warn_of_unconverged(label, *spectrum, figure);
  }
  choose_y_scale(figure);
  return figure;
}

/// Returns the groups of a run that have eigenvalues.
std::vector<GroupSpectrum> spectra_with_pairs(const RunContent& run) {
  std::vector<GroupSpectrum> found;
  std::copy_if(run.spectra.begin(), run.spectra.end(), std::back_inserter(found),
               [](const GroupSpectrum& spectrum) { return spectrum.count > 0; });
  return found;
}

}  // namespace

std::vector<Figure> eigenvalue_figures(const LabelledRuns& input) {
  return group_figures<GroupSpectrum>(
      input, {"eigenvalues", spectra_with_pairs, eigenvalues_by_layer,
              [&input](const std::string& name) { return eigenvalues_of_group(name, input); }});
}

}  // namespace hessian::analysis
