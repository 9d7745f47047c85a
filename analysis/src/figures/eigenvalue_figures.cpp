#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "content/block_groups.h"
#include "content/summary.h"
#include "figures/figure_builders.h"

namespace hessian::analysis {
namespace {

/// The eigenvalues of one end against their rank: median over the matrices, and a band from the smallest to the largest
/// with their residual norms, within which an eigenvalue lies for certain.
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

/// Open circles where a pair of any matrix has not converged.
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
                              " did not reach their tolerance; open circles stand where there are such ones");
  }
}

/// One group of all runs that have it.
Figure eigenvalues_of_group(const std::string& name, const LabelledRuns& input) {
  Figure figure;
  figure.id = "eigenvalues-" + file_part(name);
  figure.title = "Eigenvalues at both ends: " + name;
  figure.x.label = "rank, from the outside in";
  figure.x.whole = true;
  figure.caption =
      "The largest and the smallest eigenvalues: median over the sequences where there are several; the bars are the "
      "range over them, residual norms included.";
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

/// The blocks of a kind in one run, by magnitude, since their scales are apart by decades.
Figure eigenvalues_of_kind(const std::string& kind, const std::map<int64_t, const GroupSpectrum*>& blocks,
                           const std::string& label) {
  Figure figure;
  figure.title = "Eigenvalues at both ends by block: " + kind;
  figure.caption = "Medians over sequences. Solid: the largest, where positive; dashed: the smallest, where negative.";
  figure.x.label = "rank, from the outside in";
  figure.x.whole = true;
  std::size_t place = 0;
  for (const auto& [block, spectrum] : blocks) {
    const std::string color = sequential_color(place++, blocks.size());
    figure.y.label = "|eigenvalue|" + units_suffix(spectrum->units);
    for (const bool upper : {true, false}) {
      const SpectrumEnd& end = upper ? spectrum->upper : spectrum->lower;
      if (end.lambda.empty()) {
        continue;
      }
      Curve curve = by_rank(*spectrum, end);
      curve.label = "block " + std::to_string(block) + (upper ? "" : ", smallest");
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

}  // namespace

std::vector<Figure> eigenvalue_figures(const LabelledRuns& input) {
  std::vector<Figure> figures;
  std::set<std::string> names;
  constexpr std::size_t most_runs = 12;  // more cannot be compared by eye
  for (std::size_t i = 0; i < input.runs.size(); ++i) {
    std::vector<GroupSpectrum> with_pairs;
    std::copy_if(input.runs[i].spectra.begin(), input.runs[i].spectra.end(), std::back_inserter(with_pairs),
                 [](const GroupSpectrum& spectrum) { return spectrum.count > 0; });
    for (const GroupSpectrum& spectrum : with_pairs) {
      names.insert(spectrum.name);
    }
    for (const auto& [kind, blocks] : by_kind_and_block(with_pairs)) {
      if (blocks.size() > 1 && input.runs.size() <= most_runs) {
        Figure figure = eigenvalues_of_kind(kind, blocks, input.labels[i]);
        figure.id = "eigenvalues-by-block-" + file_part(kind) + numbered(i, input.runs.size());
        if (input.runs.size() > 1) {
          figure.caption = input.labels[i] + ": " + figure.caption;
        }
        figures.push_back(std::move(figure));
      }
    }
  }
  for (const std::string& name : names) {
    figures.push_back(eigenvalues_of_group(name, input));
  }
  return figures;
}

}  // namespace hessian::analysis
