#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reproduction/sections.h"

// Section (g): the largest stable rates against the rates that curvature allows.

namespace hessian::analysis {
namespace {

/// Returns the ranks of values, from 1; equal values share the mean of their ranks.
std::vector<double> ranks_of(const std::vector<double>& values) {
  std::vector<double> ranks;
  for (const double value : values) {
    const auto below = std::count_if(values.begin(), values.end(), [&](double other) { return other < value; });
    const auto equal = std::count(values.begin(), values.end(), value);
    ranks.push_back(static_cast<double>(below) + static_cast<double>(equal + 1) / 2);
  }
  return ranks;
}

/// Returns Spearman's rank correlation: Pearson's correlation of the ranks.
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

/// A rate that a curvature allows, by its name in the summary of a sweep.
struct AllowedRate {
  const char* id;
  const char* label;
  const char* name;
  const char* paper;
};

const std::vector<AllowedRate> allowed_rates = {
    {"g-activation", "2 / λmax(Hₓₓ), as a peak rate", "activation_rate", "follows"},
    {"g-sharpness", "2 / sharpness, as a peak rate", "sharpness_rate", "–"},
    {"g-preconditioned", "Adam's limit, as a peak rate", "preconditioned_rate", "–"}};

Figure threshold_figure(const AllowedRate& allowed, const std::vector<ReadSweep>& sweeps) {
  Figure figure;
  figure.id = allowed.id;
  figure.title = std::string("Largest stable rate against ") + allowed.label;
  figure.caption = "One point per model; the curvature is the maximum over the probes at the largest stable rate.";
  figure.x = {allowed.label, true, false, {}, {}, {}};
  figure.y = {"largest stable rate", true, false, {}, {}, {}};
  for (const std::string& placement : compared_placements) {
    Curve curve;
    curve.label = placement_name(placement);
    curve.color = placement_color(placement);
    curve.mark = Mark::points;
    for (const ReadSweep& sweep : sweeps) {
      const double rate = summary_number(sweep.runs(), placement, allowed.name);
      const double stable = summary_number(sweep.runs(), placement, "largest_stable_lr");
      if (std::isfinite(rate) && std::isfinite(stable)) {
        curve.x.push_back(rate);
        curve.y.push_back(stable);
      }
    }
    figure.curves.push_back(std::move(curve));
  }
  return figure;
}

Claim threshold_claim(const AllowedRate& allowed, const Figure& figure) {
  constexpr double least_correlation = 0.5;
  std::vector<double> x;
  std::vector<double> y;
  for (const Curve& curve : figure.curves) {
    x.insert(x.end(), curve.x.begin(), curve.x.end());
    y.insert(y.end(), curve.y.begin(), curve.y.end());
  }
  const double correlation = x.size() > 2 ? rank_correlation(x, y) : std::nan("");
  const bool known = std::isfinite(correlation);
  return {std::string("the largest stable rate follows ") + allowed.label,
          "g",
          allowed.paper,
          known ? fmt::format("rank correlation {:.2f} over {} models", correlation, x.size()) : "–",
          known ? verdict_of({correlation > least_correlation}) : Verdict::undecided,
          "rank correlation above 0.5"};
}

}  // namespace

ClaimSection thresholds_section(const StabilityResults& results) {
  ClaimSection thresholds;
  thresholds.section.title = "(g) Stable rates against curvature";
  thresholds.section.warnings = results.warnings;
  for (const AllowedRate& allowed : allowed_rates) {
    const Figure figure = threshold_figure(allowed, results.sweeps);
    thresholds.claims.push_back(threshold_claim(allowed, figure));
    add_figures({figure}, thresholds.section);
  }
  return thresholds;
}

}  // namespace hessian::analysis
