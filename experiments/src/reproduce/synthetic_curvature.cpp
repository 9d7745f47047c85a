#include "reproduce/synthetic_curvature.h"

#include <ATen/CPUGeneratorImpl.h>

#include <cmath>
#include <span>

#include "hessian/hessian_operator.h"
#include "hessian/lanczos.h"
#include "run_file/columns.h"

namespace hessian::experiments {
namespace {

constexpr double tolerance = 1e-3;
constexpr auto all_maps = {SyntheticMap::linear, SyntheticMap::rms_before, SyntheticMap::simple};

/// The random numbers of one seed and width.
struct Draw {
  at::Tensor weight;  // [d, d], spectral norm 1
  at::Tensor signs;   // [d], the diagonal a of A
  at::Tensor x;       // [1, d]
};

hessian::ExtremalEigenvalues dominant_end(const hessian::ProblemFunction& f, const at::Tensor& x) {
  hessian::LanczosOptions options;
  options.ends = hessian::Ends::dominant;
  options.tolerance = tolerance;
  options.max_iterations = 500;
  return hessian::lanczos(hessian::HessianOperator(f, x), options);
}

/// Computes ||W||_2 from W^T W, the Hessian of 1/2 ||W x||^2.
double spectral_norm_of(const at::Tensor& weight, const at::Tensor& x) {
  const auto f = [&weight](const at::Tensor& point, const hessian::ProblemIndices& /*problems*/) {
    return at::matmul(point, weight.t()).square().sum(-1) / 2;
  };
  return std::sqrt(dominant_end(f, x).spectral_norm().item<double>());
}

Draw draw(int64_t width, int64_t seed) {
  auto generator = at::detail::createCPUGenerator(static_cast<uint64_t>(1'000'003 * seed + width));
  const at::TensorOptions options = at::dtype(at::kDouble);
  Draw drawn;
  drawn.weight = at::randn({width, width}, generator, options) / std::sqrt(static_cast<double>(width));
  const at::Tensor magnitudes = at::rand({width}, generator, options) / 2 + 0.5;
  drawn.signs = magnitudes * at::randn({width}, generator, options).sign();
  drawn.x = at::randn({1, width}, generator, options);
  drawn.x = drawn.x * (std::sqrt(static_cast<double>(width)) / drawn.x.norm());
  drawn.weight = drawn.weight / spectral_norm_of(drawn.weight, drawn.x);
  return drawn;
}

/// Scales rows to the norm sqrt(d).
at::Tensor normalised(const at::Tensor& rows) {
  return rows * (std::sqrt(static_cast<double>(rows.size(-1))) * rows.square().sum(-1, true).rsqrt());
}

SyntheticRow measure(SyntheticMap map, const Draw& drawn, double weight_norm, int64_t seed) {
  const at::Tensor weight = drawn.weight * weight_norm;
  const auto f = [&](const at::Tensor& x, const hessian::ProblemIndices& /*problems*/) {
    const at::Tensor input = map == SyntheticMap::rms_before ? normalised(x) : x;
    const at::Tensor y = at::matmul(input, weight.t());
    const at::Tensor z = map == SyntheticMap::simple ? normalised(y) : y;
    return (drawn.signs * z * z).sum(-1) / 2;
  };
  const auto ends = dominant_end(f, drawn.x);
  return {map,
          weight.size(0),
          weight_norm,
          seed,
          ends.spectral_norm().item<double>(),
          ends.residual_norm().item<double>(),
          ends.converged.item<bool>()};
}

}  // namespace

const char* to_string(SyntheticMap map) {
  switch (map) {
    case SyntheticMap::linear:
      return "linear";
    case SyntheticMap::rms_before:
      return "rmsnorm before";
    default:
      return "simplenorm";
  }
}

std::vector<SyntheticRow> synthetic_curvature(const SyntheticOptions& options,
                                              const std::function<void(int64_t done, int64_t total)>& progress) {
  std::vector<SyntheticRow> rows;
  const auto points = static_cast<int64_t>(options.norms.size() + options.widths.size());
  const int64_t total = options.seeds * points * static_cast<int64_t>(all_maps.size());
  const auto measure_all = [&](int64_t width, std::span<const double> norms, int64_t seed) {
    const Draw drawn = draw(width, seed);
    for (const double norm : norms) {
      for (const SyntheticMap map : all_maps) {
        rows.push_back(measure(map, drawn, norm, seed));
        progress(static_cast<int64_t>(rows.size()), total);
      }
    }
  };
  constexpr double one = 1;
  for (int64_t seed = 0; seed < options.seeds; ++seed) {
    measure_all(options.width, options.norms, seed);
    for (const int64_t width : options.widths) {
      measure_all(width, std::span(&one, 1), seed);
    }
  }
  return rows;
}

void write_synthetic(const std::filesystem::path& path, const RunInfo& info, const std::vector<SyntheticRow>& rows) {
  using R = SyntheticRow;
  Columns table(rows.size());
  table.add("/synthetic/map", column(rows, [](const R& r) { return std::string(to_string(r.map)); }), "1",
            "linear, rmsnorm before or simplenorm");
  table.add("/synthetic/width", column(rows, [](const R& r) { return r.width; }), "1", "width d");
  table.add("/synthetic/weight_norm", column(rows, [](const R& r) { return r.weight_norm; }), "1",
            "spectral norm of the weight");
  table.add("/synthetic/seed", column(rows, [](const R& r) { return r.seed; }), "1", "seed of weight and activation");
  table.add("/synthetic/spectral_norm", column(rows, [](const R& r) { return r.spectral_norm; }), "1",
            "spectral norm of H_xx of 1/2 z^T A z");
  table.add("/synthetic/residual_norm", column(rows, [](const R& r) { return r.residual_norm; }), "1",
            "residual norm ||H v - lambda v||");
  table.add("/synthetic/converged", column(rows, [](const R& r) { return static_cast<uint8_t>(r.converged ? 1 : 0); }),
            "1", "1 if the tolerance was reached");
  write_tables(path, info, {table}, true);
}

}  // namespace hessian::experiments
