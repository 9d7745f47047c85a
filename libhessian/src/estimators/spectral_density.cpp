#include "hessian/spectral_density.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "eigensolvers/krylov_batch.h"
#include "estimators/samples.h"

namespace hessian {
namespace {

/// Streams reserved per sample: far more than a Krylov space has breakdowns, so that samples never share a stream.
constexpr uint64_t streams_per_sample = uint64_t{1} << 32U;

void store(const RitzPairs& ritz, const at::Tensor& nodes, const at::Tensor& weights) {
  // The start vector is the first basis vector, so its component along a Ritz vector is that vector's first coordinate.
  const Eigen::VectorXd shares = ritz.coordinates.row(0).cwiseAbs2();
  std::copy_n(ritz.values.data(), ritz.values.size(), nodes.data_ptr<double>());
  std::copy_n(shares.data(), shares.size(), weights.data_ptr<double>());
}

/// Returns the quadrature of values at the nodes, [S, P].
at::Tensor integrals(const SpectralQuadrature& quadrature, const at::Tensor& values) {
  return (quadrature.weights * values.masked_fill(quadrature.nodes.isnan(), 0)).sum(2);
}

/// Sums weighted Gaussians around one sample's nodes [m], evaluated on a grid [G].
at::Tensor broadened(const at::Tensor& nodes, const at::Tensor& weights, const at::Tensor& grid, double width) {
  const at::Tensor present = nodes.isnan().logical_not();
  const at::Tensor distance = (grid.unsqueeze(1) - nodes.masked_select(present).unsqueeze(0)) / width;
  const at::Tensor gaussians = at::exp(distance.square() / -2) / (width * std::sqrt(2 * M_PI));
  return at::mv(gaussians, weights.masked_select(present));
}

void check_density_options(const DensityOptions& options) {
  if (!(options.relative_width > 0)) {
    throw std::invalid_argument("the relative width is " + std::to_string(options.relative_width) +
                                "; it must be positive");
  }
  if (!(options.relative_zero >= 0)) {
    throw std::invalid_argument("the relative zero is " + std::to_string(options.relative_zero) +
                                "; it must not be negative");
  }
  // The grid covers the range plus 8 widths.
  const double minimum = std::ceil(1 / options.relative_width + 8) + 1;
  if (static_cast<double>(options.grid_points) < minimum) {
    throw std::invalid_argument("the grid has " + std::to_string(options.grid_points) + " points; it needs at least " +
                                std::to_string(static_cast<int64_t>(minimum)) +
                                ", or peaks of this width may fall between them");
  }
}

}  // namespace

SpectralQuadrature spectral_quadrature(const LinearOperator& op, const QuadratureOptions& options) {
  check_sample_arguments(op, options.samples, options.seeds());
  if (options.steps < 1) {
    throw std::invalid_argument("the number of Lanczos steps is " + std::to_string(options.steps) +
                                "; it must be positive");
  }
  const c10::NoGradGuard no_grad;
  const int64_t steps = std::min(options.steps, op.dim());
  SpectralQuadrature result;
  result.dim = op.dim();
  result.nodes =
      at::full({op.problems(), options.samples, steps}, std::numeric_limits<double>::quiet_NaN(), at::kDouble);
  result.weights = at::zeros({op.problems(), options.samples, steps}, at::kDouble);
  ProblemIndices finite = all_problems(op.problems());
  for (int64_t sample = 0; sample < options.samples && !finite.empty(); ++sample) {
    KrylovBatch batch(op, 1, steps, options.seeds(), static_cast<uint64_t>(sample) * streams_per_sample);
    batch.keep(finite);
    while (!batch.empty()) {
      batch.extend();
      ProblemIndices unfinished;
      for (int64_t i = 0; i < batch.size(); ++i) {
        if (!batch.finite(i)) {
          std::erase(finite, batch.problem(i));
          result.nodes[batch.problem(i)].fill_(std::numeric_limits<double>::quiet_NaN());
          result.weights[batch.problem(i)].fill_(std::numeric_limits<double>::quiet_NaN());
        } else if (batch.basis_size() == steps || batch.exhausted(i)) {
          store(batch.ritz_pairs(i), result.nodes[batch.problem(i)][sample], result.weights[batch.problem(i)][sample]);
        } else {
          unfinished.push_back(i);
        }
      }
      if (static_cast<int64_t>(unfinished.size()) < batch.size()) {
        batch.keep(unfinished);
      }
    }
  }
  return result;
}

Estimate spectral_moment(const SpectralQuadrature& quadrature, int power) {
  if (power < 0) {
    throw std::invalid_argument("the power is " + std::to_string(power) + "; it must not be negative");
  }
  return mean_of_samples(static_cast<double>(quadrature.dim) * integrals(quadrature, quadrature.nodes.pow(power)));
}

SpectralDensity spectral_density(SpectralQuadrature quadrature, const DensityOptions& options) {
  check_density_options(options);
  const c10::NoGradGuard no_grad;
  const int64_t problems = quadrature.nodes.size(0);
  const int64_t samples = quadrature.nodes.size(1);
  const at::Tensor absent = quadrature.nodes.isnan();
  const at::Tensor unknown = quadrature.weights.isnan().flatten(1).any(1);
  const double infinity = std::numeric_limits<double>::infinity();
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor smallest = quadrature.nodes.masked_fill(absent, infinity).amin({1, 2}).masked_fill(unknown, nan);
  const at::Tensor largest = quadrature.nodes.masked_fill(absent, -infinity).amax({1, 2}).masked_fill(unknown, nan);
  const at::Tensor magnitude = at::maximum(smallest.abs(), largest.abs());

  SpectralDensity result;
  const at::Tensor range = largest - smallest;
  // The Ritz values of a multiple of the identity differ only by rounding: their range cannot serve as the scale.
  const at::Tensor scale =
      at::where(range > 1e-6 * magnitude, range, at::where(magnitude == 0, at::ones_like(magnitude), magnitude));
  result.width = options.relative_width * scale;
  result.zero_threshold = options.relative_zero * magnitude;
  result.grid = at::empty({problems, options.grid_points}, at::kDouble);
  at::Tensor densities = at::empty({problems, samples, options.grid_points}, at::kDouble);
  for (int64_t problem = 0; problem < problems; ++problem) {
    if (unknown[problem].item<bool>()) {
      result.grid[problem].fill_(nan);
      densities[problem].fill_(nan);
      continue;
    }
    const double width = result.width[problem].item<double>();
    const at::Tensor grid = result.grid[problem];
    grid.copy_(at::linspace(smallest[problem].item<double>() - 4 * width, largest[problem].item<double>() + 4 * width,
                            options.grid_points, at::kDouble));
    for (int64_t sample = 0; sample < samples; ++sample) {
      densities[problem][sample].copy_(
          broadened(quadrature.nodes[problem][sample], quadrature.weights[problem][sample], grid, width));
    }
  }
  result.density = mean_of_samples(densities);
  const at::Tensor is_zero = quadrature.nodes.abs() <= result.zero_threshold.view({-1, 1, 1});
  result.mass_near_zero = mean_of_samples(integrals(quadrature, is_zero.to(at::kDouble)));
  result.quadrature = std::move(quadrature);
  return result;
}

}  // namespace hessian
