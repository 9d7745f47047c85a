#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
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
  std::vector<int64_t> seed;
  std::vector<double> spectral_norm;
  std::vector<uint8_t> converged;
};

const std::vector<std::string> map_names = {"linear", "rmsnorm before", "simplenorm"};

SyntheticPoints read_points(const std::filesystem::path& file) {
  const experiments::RunFileReader run(file);
  return {run.read<std::string>("/synthetic/map").values,      run.read<int64_t>("/synthetic/width").values,
          run.read<double>("/synthetic/weight_norm").values,   run.read<int64_t>("/synthetic/seed").values,
          run.read<double>("/synthetic/spectral_norm").values, run.read<uint8_t>("/synthetic/converged").values};
}

/// A slope with the half width of its 95 % confidence interval.
struct Slope {
  double value = std::nan("");
  double half_width = std::nan("");
};

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
  std::vector<int64_t> seed;
};

/// Returns the logarithms of values minus their means over the values of the same seed.
std::vector<double> logs_within_seeds(const std::vector<double>& values, const std::vector<int64_t>& seeds) {
  std::map<int64_t, std::vector<double>> by_seed;
  for (std::size_t i = 0; i < values.size(); ++i) {
    by_seed[seeds[i]].push_back(std::log(values[i]));
  }
  std::vector<double> centred;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::vector<double>& of_seed = by_seed[seeds[i]];
    const double mean = std::accumulate(of_seed.begin(), of_seed.end(), 0.0) / static_cast<double>(of_seed.size());
    centred.push_back(std::log(values[i]) - mean);
  }
  return centred;
}

/// Fits log ||H_xx|| against log x by least squares with an intercept per seed; NaN with fewer than two points more than
/// there are seeds.
/// Source: docs/math.md, "Single maps".
Slope log_slope(const MapPoints& points) {
  const std::size_t seeds = std::set<int64_t>(points.seed.begin(), points.seed.end()).size();
  if (points.x.size() < seeds + 2) {
    return {};
  }
  const auto degrees = static_cast<double>(points.x.size() - seeds - 1);
  const std::vector<double> u = logs_within_seeds(points.x, points.seed);
  const std::vector<double> v = logs_within_seeds(points.norm, points.seed);
  const double uu = std::inner_product(u.begin(), u.end(), u.begin(), 0.0);
  const double slope = std::inner_product(u.begin(), u.end(), v.begin(), 0.0) / uu;
  double squares = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    squares += (v[i] - slope * u[i]) * (v[i] - slope * u[i]);
  }
  return {slope, 1.96 * std::sqrt(squares / degrees / uu)};
}

MapPoints points_of(const SyntheticPoints& all, const std::string& map, Against against) {
  const int64_t fixed_width = width_of_norms(all);
  MapPoints points;
  for (std::size_t i = 0; i < all.map.size(); ++i) {
    const bool chosen = against == Against::weight_norm ? all.width[i] == fixed_width : all.weight_norm[i] == 1;
    if (all.map[i] == map && chosen) {
      points.x.push_back(against == Against::weight_norm ? all.weight_norm[i] : static_cast<double>(all.width[i]));
      points.norm.push_back(all.spectral_norm[i]);
      points.seed.push_back(all.seed[i]);
    }
  }
  return points;
}

/// Slopes of the maps of `map_names`, in that order.
std::vector<Slope> slopes_of(const SyntheticPoints& all, Against against) {
  std::vector<Slope> slopes;
  for (const std::string& map : map_names) {
    slopes.push_back(log_slope(points_of(all, map, against)));
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
  Table table{"Slopes of log ‖Hₓₓ‖₂, least squares with an intercept per seed, with 95 % confidence",
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
