#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "content/sharpness_sequences.h"
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

/// Spearman's rank correlation of n points, with Fisher's z and the standard error of z.
/// Source: docs/math.md, "Rank correlation"; Bonett & Wright (2000), Psychometrika 65.
struct Correlation {
  double value;
  double z;
  double z_error;

  Correlation(const std::vector<double>& x, const std::vector<double>& y) : value(rank_correlation(x, y)) {
    const auto n = static_cast<double>(x.size());
    // A correlation of 1 would leave no error; this one is half way to the next smaller one.
    const double largest = 1 - 6 / (n * n * n - n);
    z = std::atanh(std::clamp(value, -largest, largest));
    z_error = std::sqrt((1 + value * value / 2) / (n - 3));
  }

  /// Returns the standard error of the correlation itself.
  [[nodiscard]] double error() const { return (1 - std::pow(std::tanh(z), 2)) * z_error; }

  /// Returns whether the correlation is above a limit, `undecided` within two standard errors of it.
  [[nodiscard]] Verdict above(double limit) const {
    const double distance = z - std::atanh(limit);
    return std::abs(distance) > 2 * z_error ? verdict_of({distance > 0}) : Verdict::undecided;
  }
};

/// A rate that a curvature allows, by its name in the summary of a sweep.
struct AllowedRate {
  const char* id;
  const char* label;
  const char* name;
  const char* paper;
  bool of_sharpness;
};

const std::vector<AllowedRate> allowed_rates = {
    {"g-activation", "2 / λmax(Hₓₓ), as a peak rate", "activation_rate", "follows", false},
    {"g-sharpness", "2 / sharpness, as a peak rate", "sharpness_rate", "–", true},
    {"g-preconditioned", "Adam's limit, as a peak rate", "preconditioned_rate", "–", true}};

Figure threshold_figure(const AllowedRate& allowed, const std::vector<ReadSweep>& sweeps) {
  Figure figure;
  figure.id = allowed.id;
  figure.title = std::string("Largest stable rate against ") + allowed.label;
  figure.caption = "One point per model; the curvature is the maximum over the probes at the largest stable rate.";
  if (allowed.of_sharpness) {
    std::vector<RunContent> contents;
    std::transform(sweeps.begin(), sweeps.end(), std::back_inserter(contents),
                   [](const ReadSweep& sweep) { return sweep.content; });
    if (const std::string sequences = sharpness_sequences_text(contents); !sequences.empty()) {
      figure.caption += " It is that of the mean loss of " + sequences + ".";
    }
    for (const ReadSweep& sweep : sweeps) {
      if (auto warning = sharpness_sequences_warning(sweep.content, sweep.name())) {
        figure.warnings.push_back(std::move(*warning));
      }
    }
  }
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
  Claim claim{
      std::string("the largest stable rate follows ") + allowed.label,
      "g",
      allowed.paper,
      "–",
      Verdict::undecided,
      "rank correlation above 0.5 by two standard errors of Fisher's z; does not hold if it is below by as much"};
  constexpr std::size_t least_models = 4;
  if (x.size() >= least_models) {
    if (const Correlation correlation(x, y); std::isfinite(correlation.value)) {
      claim.ours = fmt::format("rank correlation {:.2f} ± {:.2f} over {} models", correlation.value,
                               correlation.error(), x.size());
      claim.verdict = correlation.above(least_correlation);
    }
  }
  return claim;
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
