#pragma once

#include "hessian/estimate.h"

namespace hessian {

struct QuadratureOptions {
  /// Number of start vectors per problem, at least 2 (a standard error needs two).
  int64_t samples = 8;
  /// Lanczos steps m per sample, at most n: the quadrature is exact for polynomials of degree 2 m - 1.
  int64_t steps = 64;
  /// Seeds of the start vectors: see ProblemSeeds.
  uint64_t seed = 0;
  std::vector<int64_t> problem_numbers = {};

  ProblemSeeds seeds() const { return {seed, problem_numbers}; }
};

/// Gaussian quadratures of the spectra of S operators, one per sample: sum_j w_j f(theta_j) = v^T f(H) v for a random unit
/// vector v and every polynomial f of degree at most 2 m - 1. On the CPU in float64. A problem whose products are not finite
/// has NaN in all nodes and weights, and so do all numbers computed from them.
struct SpectralQuadrature {
  at::Tensor nodes;    ///< [S, P, m], Ritz values, ascending; padded with NaN if fewer steps exhausted the Krylov space
  at::Tensor weights;  ///< [S, P, m], with sum 1 per sample; zero where there is no node
  int64_t dim = 0;     ///< n
};

/// Computes quadratures by stochastic Lanczos quadrature: m steps of Lanczos with full reorthogonalisation from each of P
/// random unit vectors.
///
/// Processes one sample after another, each for all problems at once. A problem whose Krylov space is exhausted leaves
/// the batch, with an exact quadrature. A problem whose product is not finite leaves the batch and takes no further samples.
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// Cost: P m products and O(S n P m^2) arithmetic; memory S n (m + 5) scalars.
/// Source: Ubaru, Chen & Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature; Golub & Meurant,
/// Matrices, Moments and Quadrature, chapter 6.
SpectralQuadrature spectral_quadrature(const LinearOperator& op, const QuadratureOptions& options = {});

/// Estimates tr H^power of each problem, [S], from the quadrature: n times the mean over samples of sum_j w_j theta_j^power.
/// Unbiased for powers up to 2 m - 1.
/// \throws std::invalid_argument  for a negative power
Estimate spectral_moment(const SpectralQuadrature& quadrature, int power);

struct DensityOptions {
  int64_t grid_points = 401;
  /// Standard deviation of the Gaussian that replaces each Ritz value, relative to the range of the problem's Ritz values.
  double relative_width = 0.01;
  /// Ritz values up to this magnitude count as zero, relative to the largest magnitude of the problem's Ritz values.
  double relative_zero = 1e-3;
};

/// Spectral densities of S operators. Each problem has its own grid, independent of the other problems.
struct SpectralDensity {
  SpectralQuadrature quadrature;  ///< the input; shows how few Ritz values support the smooth curve
  at::Tensor grid;            ///< [S, G], uniform, from 4 widths below the smallest Ritz value to 4 above the largest
  Estimate density;           ///< [S, G], fraction of eigenvalues per unit of the grid; standard error over samples
  at::Tensor width;           ///< [S], standard deviation of the Gaussians
  at::Tensor zero_threshold;  ///< [S], largest magnitude that counts as zero
  Estimate mass_near_zero;    ///< [S], fraction of eigenvalues within the threshold: weight of the Ritz values there
};

/// Computes the density phi(t) = mean over samples of sum_j w_j g(t - theta_j), with g a Gaussian of the given width. If all
/// Ritz values of a problem are equal, the width is relative to their magnitude, or to 1 if they are zero. See
/// examples/any_model.cpp.
///
/// The standard errors cover the scatter of the samples, not the finite resolution of m steps: inside the spectrum,
/// neighbouring Ritz values are about range * pi / (2 m) apart.
/// \throws std::invalid_argument  if an option is out of range, or the grid is coarser than the width
/// Cost: O(S P m G) arithmetic.
/// Source: Lin, Saad & Yang (2016), Approximating spectral densities of large matrices; Ghorbani, Krishnan & Xiao
/// (2019), An investigation into neural net optimization via Hessian eigenvalue density.
SpectralDensity spectral_density(SpectralQuadrature quadrature, const DensityOptions& options = {});

}  // namespace hessian
