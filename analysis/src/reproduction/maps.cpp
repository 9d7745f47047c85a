#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "hessian/run_file.h"
#include "reproduction/sections.h"

// Section (a): H_xx of single maps.

namespace hessian::analysis {
namespace {

/// The rows of /synthetic, one per map, width, weight norm and seed.
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

/// A slope with the half width of its 95 % confidence interval.
struct Slope {
  double value = std::nan("");
  double half_width = std::nan("");
};

/// Fits log y against log x by least squares; NaN for fewer than three points.
/// Source: Draper & Smith, Applied Regression Analysis, 3rd ed., section 1.4, with the normal quantile in place of
/// Student's.
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

/// Returns the width of the rows in which the weight norm varies, that is, differs from 1.
int64_t width_of_norms(const SyntheticPoints& points) {
  for (std::size_t i = 0; i < points.map.size(); ++i) {
    if (points.weight_norm[i] != 1) {
      return points.width[i];
    }
  }
  return 0;
}

/// The quantity on the x axis of H_xx; the other one is fixed.
enum class Against { weight_norm, width };

/// ||H_xx|| of one map, [n] points.
struct MapPoints {
  std::vector<double> x;
  std::vector<double> norm;
};

MapPoints points_of(const SyntheticPoints& all, const std::string& map, Against against) {
  const int64_t fixed_width = width_of_norms(all);
  MapPoints points;
  for (std::size_t i = 0; i < all.map.size(); ++i) {
    const bool chosen = against == Against::weight_norm ? all.width[i] == fixed_width : all.weight_norm[i] == 1;
    if (all.map[i] == map && chosen) {
      points.x.push_back(against == Against::weight_norm ? all.weight_norm[i] : static_cast<double>(all.width[i]));
      points.norm.push_back(all.spectral_norm[i]);
    }
  }
  return points;
}

/// Slopes of the maps of `map_names`, in that order.
std::vector<Slope> slopes_of(const SyntheticPoints& all, Against against) {
  std::vector<Slope> slopes;
  for (const std::string& map : map_names) {
    const MapPoints points = points_of(all, map, against);
    slopes.push_back(log_slope(points.x, points.norm));
  }
  return slopes;
}

Figure map_figure(const SyntheticPoints& all, Against against) {
  const bool norms = against == Against::weight_norm;
  Figure figure;
  figure.id = norms ? "a-weight-norm" : "a-width";
  figure.title =
      norms ? fmt::format("‖Hₓₓ‖₂ against ‖W‖₂, width {}", width_of_norms(all)) : "‖Hₓₓ‖₂ against width, ‖W‖₂ = 1";
  figure.caption =
      "f(x) = ½ zᵀAz with A fixed and z = Wx (linear), z = W rmsnorm(x) (rmsnorm before) or z = rmsnorm(Wx) "
      "(simplenorm). Median over seeds; the band is their range.";
  figure.x = {norms ? "‖W‖₂" : "width d", true, false, {}, {}, {}};
  figure.y = {"‖Hₓₓ‖₂", true, false, {}, {}, {}};
  for (std::size_t k = 0; k < map_names.size(); ++k) {
    const MapPoints points = points_of(all, map_names[k], against);
    SpreadCurve spread;
    for (std::size_t i = 0; i < points.x.size(); ++i) {
      spread.add(points.x[i], points.norm[i]);
    }
    figure.curves.push_back(spread.curve(map_names[k], categorical_color(k)));
  }
  return figure;
}

std::string slope_text(const Slope& slope) {
  return std::isfinite(slope.value) ? fmt::format("{:.3f} ± {:.3f}", slope.value, slope.half_width) : "–";
}

Table slope_table(const std::vector<Slope>& against_norm, const std::vector<Slope>& against_width) {
  Table table{"Slopes of log ‖Hₓₓ‖₂, least squares over all points, with 95 % confidence",
              {"map", "against ‖W‖₂", "against width"},
              {}};
  for (std::size_t k = 0; k < map_names.size(); ++k) {
    table.rows.push_back({map_names[k], slope_text(against_norm[k]), slope_text(against_width[k])});
  }
  return table;
}

/// Claims a slope against ||W||; undecided without points.
Claim slope_claim(const std::string& text, int expected, const std::string& rule, const Slope& slope) {
  constexpr double margin = 0.05;
  const bool known = std::isfinite(slope.value);
  return {text,
          "a",
          fmt::format("slope {}", expected),
          known ? "slope " + slope_text(slope) : "–",
          known ? verdict_of({std::abs(slope.value - expected) <= margin}) : Verdict::undecided,
          rule};
}

}  // namespace

ClaimSection maps_section(const std::filesystem::path& synthetic) {
  ClaimSection maps;
  maps.section.title = "(a) H_xx of a linear map and of SimpleNorm";
  std::vector<Slope> against_norm(map_names.size());
  if (read_or_warn(synthetic, maps.section.warnings)) {
    const SyntheticPoints points = read_points(synthetic);
    if (const auto open = std::count(points.converged.begin(), points.converged.end(), 0); open > 0) {
      maps.section.warnings.push_back(
          fmt::format("{} of {} estimates did not reach their tolerance", open, points.map.size()));
    }
    against_norm = slopes_of(points, Against::weight_norm);
    maps.section.figures = {map_figure(points, Against::weight_norm), map_figure(points, Against::width)};
    maps.section.tables = {slope_table(against_norm, slopes_of(points, Against::width))};
  }
  maps.claims = {
      slope_claim("H_xx of a linear map grows as ‖W‖²", 2, "slope of log ‖H_xx‖ against log ‖W‖ within 0.05 of 2",
                  against_norm[0]),
      slope_claim("H_xx of SimpleNorm does not depend on ‖W‖", 0, "slope within 0.05 of 0", against_norm[2])};
  return maps;
}

}  // namespace hessian::analysis
