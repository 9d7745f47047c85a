#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "hessian/run_file.h"
#include "reproduction/parts.h"

namespace hessian::analysis {
namespace {

/// The points of /synthetic.
struct SyntheticPoints {
  std::vector<std::string> map;
  std::vector<int64_t> width;
  std::vector<double> weight_norm;
  std::vector<double> spectral_norm;
  std::vector<uint8_t> converged;
};

const std::vector<std::string> map_names = {"linear", "rmsnorm before", "simplenorm"};

SyntheticPoints read_points(const std::filesystem::path& file) {
  const experiments::RunFileReader run(file);
  return {run.read<std::string>("/synthetic/map").values, run.read<int64_t>("/synthetic/width").values,
          run.read<double>("/synthetic/weight_norm").values, run.read<double>("/synthetic/spectral_norm").values,
          run.read<uint8_t>("/synthetic/converged").values};
}

/// Slope of log y against log x by least squares, with the half width of its 95 % confidence interval.
/// Source: Draper & Smith, Applied Regression Analysis, 3rd ed., section 1.4, with the normal quantile for Student's.
struct Slope {
  double value = std::nan("");
  double half_width = std::nan("");
};

Slope log_slope(const std::vector<double>& x, const std::vector<double>& y) {
  const auto n = static_cast<double>(x.size());
  if (x.size() < 3) {
    return {};
  }
  std::vector<double> u(x.size());
  std::vector<double> v(x.size());
  std::transform(x.begin(), x.end(), u.begin(), [](double value) { return std::log(value); });
  std::transform(y.begin(), y.end(), v.begin(), [](double value) { return std::log(value); });
  const double mean_u = std::accumulate(u.begin(), u.end(), 0.0) / n;
  const double mean_v = std::accumulate(v.begin(), v.end(), 0.0) / n;
  double uu = 0;
  double uv = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    uu += (u[i] - mean_u) * (u[i] - mean_u);
    uv += (u[i] - mean_u) * (v[i] - mean_v);
  }
  const double slope = uv / uu;
  double squares = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const double error = v[i] - mean_v - slope * (u[i] - mean_u);
    squares += error * error;
  }
  return {slope, 1.96 * std::sqrt(squares / (n - 2) / uu)};
}

/// The width at which weight norms vary: that of the points whose norm is not 1.
int64_t width_of_norms(const SyntheticPoints& points) {
  for (std::size_t i = 0; i < points.map.size(); ++i) {
    if (points.weight_norm[i] != 1) {
      return points.width[i];
    }
  }
  return 0;
}

Figure against(const SyntheticPoints& points, bool norms, int64_t fixed_width, std::vector<Slope>& slopes) {
  Figure figure;
  figure.id = norms ? "a-weight-norm" : "a-width";
  figure.title = norms ? fmt::format("‖Hₓₓ‖₂ against ‖W‖₂, width {}", fixed_width) : "‖Hₓₓ‖₂ against width, ‖W‖₂ = 1";
  figure.caption =
      "f(x) = ½ zᵀAz with A fixed and z = Wx (linear), W of the normalised x (rmsnorm before), or Wx normalised "
      "(simplenorm). Median over seeds; the band is their range.";
  figure.x = {norms ? "‖W‖₂" : "width d", true, false, {}, {}, {}};
  figure.y = {"‖Hₓₓ‖₂", true, false, {}, {}, {}};
  for (std::size_t k = 0; k < map_names.size(); ++k) {
    SpreadCurve spread;
    std::vector<double> x;
    std::vector<double> y;
    for (std::size_t i = 0; i < points.map.size(); ++i) {
      if (points.map[i] == map_names[k] && (norms ? points.width[i] == fixed_width : points.weight_norm[i] == 1)) {
        x.push_back(norms ? points.weight_norm[i] : static_cast<double>(points.width[i]));
        y.push_back(points.spectral_norm[i]);
        spread.add(x.back(), y.back());
      }
    }
    slopes.push_back(log_slope(x, y));
    figure.curves.push_back(spread.curve(map_names[k], categorical_color(k)));
  }
  return figure;
}

std::string slope_text(const Slope& slope) {
  return std::isfinite(slope.value) ? fmt::format("{:.3f} ± {:.3f}", slope.value, slope.half_width) : "–";
}

}  // namespace

ReproductionPart maps_part(const ReproductionFiles& files) {
  ReproductionPart part;
  part.section.title = "(a) H_xx of a linear map and of SimpleNorm";
  Claim linear{"H_xx of a linear map grows as ‖W‖²",
               "a",
               "slope 2",
               "–",
               Verdict::undecided,
               "slope of log ‖H_xx‖ against log ‖W‖ within 0.05 of 2"};
  Claim simple{
      "H_xx of SimpleNorm does not depend on ‖W‖", "a", "slope 0", "–", Verdict::undecided, "slope within 0.05 of 0"};
  if (read_part(files.synthetic, part.section)) {
    const SyntheticPoints points = read_points(files.synthetic);
    if (const auto open = std::count(points.converged.begin(), points.converged.end(), 0); open > 0) {
      part.section.warnings.push_back(
          fmt::format("{} of {} estimates did not reach their tolerance", open, points.map.size()));
    }
    std::vector<Slope> norm_slopes;
    std::vector<Slope> width_slopes;
    part.section.figures = {against(points, true, width_of_norms(points), norm_slopes),
                            against(points, false, 0, width_slopes)};
    Table table{"Slopes of log ‖Hₓₓ‖₂, least squares over all points, with 95 % confidence",
                {"map", "against ‖W‖₂", "against width"},
                {}};
    for (std::size_t k = 0; k < map_names.size(); ++k) {
      table.rows.push_back({map_names[k], slope_text(norm_slopes[k]), slope_text(width_slopes[k])});
    }
    part.section.tables.push_back(std::move(table));
    constexpr double margin = 0.05;
    linear.ours = "slope " + slope_text(norm_slopes[0]);
    linear.verdict = verdict_of({std::abs(norm_slopes[0].value - 2) <= margin});
    simple.ours = "slope " + slope_text(norm_slopes[2]);
    simple.verdict = verdict_of({std::abs(norm_slopes[2].value) <= margin});
  }
  part.claims = {linear, simple};
  return part;
}

}  // namespace hessian::analysis
