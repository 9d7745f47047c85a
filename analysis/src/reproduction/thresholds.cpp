#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reproduction/swept_rates.h"

// Figure g: the largest stable rates against those that curvature allows.

namespace hessian::analysis {
namespace {

/// Ranks from 1 on; equal values share the mean of theirs.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<double> ranks;
  for (const double value : values) {
    const auto below = std::count_if(values.begin(), values.end(), [&](double other) { return other < value; });
    const auto equal = std::count(values.begin(), values.end(), value);
    ranks.push_back(static_cast<double>(below) + static_cast<double>(equal + 1) / 2);
  }
  return ranks;
}

/// Spearman's rank correlation: Pearson's of the ranks.
double rank_correlation(const std::vector<double>& x, const std::vector<double>& y) {
  const std::vector<double> u = ranks_of(x);
  const std::vector<double> v = ranks_of(y);
  const double mean = static_cast<double>(x.size() + 1) / 2;
  double uu = 0;
  double vv = 0;
  double uv = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    uu += (u[i] - mean) * (u[i] - mean);
    vv += (v[i] - mean) * (v[i] - mean);
    uv += (u[i] - mean) * (v[i] - mean);
  }
  return uv / std::sqrt(uu * vv);
}

}  // namespace

ReproductionPart thresholds_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(g) Stable rates against curvature";
  const std::vector<ReadSweep> sweeps = read_sweeps(files, part.section);
  struct Kind {
    const char* id;
    const char* label;
    const char* name;
  };
  const std::vector<Kind> kinds = {{"g-activation", "2 / λmax(Hₓₓ), as a peak rate", "activation_rate"},
                                   {"g-sharpness", "2 / sharpness, as a peak rate", "sharpness_rate"},
                                   {"g-preconditioned", "Adam's limit, as a peak rate", "preconditioned_rate"}};
  for (const Kind& kind : kinds) {
    Figure figure;
    figure.id = kind.id;
    figure.title = std::string("Largest stable rate against ") + kind.label;
    figure.caption = "A point for each model; the curvature is the largest of the probes at its largest stable rate.";
    figure.x = {kind.label, true, false, {}, {}, {}};
    figure.y = {"largest stable rate", true, false, {}, {}, {}};
    std::vector<double> x;
    std::vector<double> y;
    for (const std::string& placement : compared_placements) {
      Curve curve;
      curve.label = placement_name(placement);
      curve.color = placement_color(placement);
      curve.mark = Mark::points;
      for (const ReadSweep& sweep : sweeps) {
        const double rate = summary_number(sweep.runs(), placement, kind.name);
        const double stable = summary_number(sweep.runs(), placement, "largest_stable_lr");
        if (std::isfinite(rate) && std::isfinite(stable)) {
          curve.x.push_back(rate);
          curve.y.push_back(stable);
        }
      }
      x.insert(x.end(), curve.x.begin(), curve.x.end());
      y.insert(y.end(), curve.y.begin(), curve.y.end());
      figure.curves.push_back(std::move(curve));
    }
    if (has_points(figure)) {
      part.section.figures.push_back(std::move(figure));
    }
    const double correlation = x.size() > 2 ? rank_correlation(x, y) : std::nan("");
    part.claims.push_back({std::string("the largest stable rate follows ") + kind.label, "g",
                           kind.name == kinds[0].name ? "follows" : "–",
                           std::isfinite(correlation)
                               ? fmt::format("rank correlation {:.2f} over {} models", correlation, x.size())
                               : "–",
                           std::isfinite(correlation) ? verdict_of({correlation > 0.5}) : Verdict::undecided,
                           "rank correlation above 0.5"});
  }
  return part;
}

}  // namespace hessian::analysis
