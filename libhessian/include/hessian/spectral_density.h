#pragma once

#include "hessian/estimate.h"

namespace hessian {

struct QuadratureOptions : SampleOptions {
  QuadratureOptions() { samples = 8; }
  /// Lanczos steps m of each sample, n at most: the quadrature is exact for polynomials of degree 2 m - 1.
  int64_t steps = 64;
};

/// Gaussian quadratures of the spectra of S operators, one for each sample: sum_j w_j f(theta_j) = v^T f(H) v for a
/// random unit vector v and every polynomial f of degree 2 m - 1. On the CPU in float64.
struct SpectralQuadrature {
  at::Tensor nodes;    ///< [S, P, m], Ritz values, ascending; NaN behind the last where fewer steps exhausted the space
  at::Tensor weights;  ///< [S, P, m], of sum 1 over a sample; zero where there is no node
  int64_t dim = 0;     ///< n
};

/// Stochastic Lanczos quadrature: m steps of Lanczos with full reorthogonalisation from each of P random unit vectors.
///
/// One sample after the other, all problems at once. A problem whose Krylov space is exhausted leaves, with an exact
/// quadrature.
/// \throws std::invalid_argument  if the operator is empty or an option is out of range
/// \throws std::runtime_error     if a product is not finite
/// Cost: P m products and O(S n P m^2) arithmetic; memory S n (m + 5) scalars.
/// Source: Ubaru, Chen & Saad (2017), Fast estimation of tr(f(A)) via stochastic Lanczos quadrature; Golub & Meurant,
/// Matrices, Moments and Quadrature, chapter 6.
SpectralQuadrature spectral_quadrature(const LinearOperator& op, const QuadratureOptions& options = {});

/// tr H^power of each problem, [S], from the quadrature: n times the mean over samples of sum_j w_j theta_j^power.
/// Unbiased for powers up to 2 m - 1.
/// \throws std::invalid_argument  for a negative power
Estimate spectral_moment(const SpectralQuadrature& quadrature, int power);

struct DensityOptions {
  int64_t grid_points = 401;
  /// Standard deviation of the Gaussian that stands for each Ritz value, relative to the range of the problem's Ritz
  /// values.
  double relative_width = 0.01;
  /// Ritz values no larger than this count as zero, relative to the largest magnitude of the problem's Ritz values.
  double relative_zero = 1e-3;
};

/// Spectral densities of S operators. Problems have grids of their own, so that none depends on the others.
struct SpectralDensity {
  SpectralQuadrature
      quadrature;             ///< what it was made from: a smooth curve alone hides how few Ritz values it stands on
  at::Tensor grid;            ///< [S, G], even, from 4 widths below the smallest Ritz value to 4 above the largest
  Estimate density;           ///< [S, G], share of eigenvalues a unit; error over samples at each point
  at::Tensor width;           ///< [S], standard deviation of the Gaussians
  at::Tensor zero_threshold;  ///< [S], largest magnitude that counts as zero
  Estimate mass_near_zero;    ///< [S], share of eigenvalues within it: weight of the Ritz values there
};

/// Density phi(t) = mean over samples of sum_j w_j g(t - theta_j), with g the Gaussian of the width stated. Where all
/// Ritz values of a problem are one, the width is relative to its magnitude, or to 1 if it is zero.
///
/// The standard errors are of the samples alone. That m steps resolve the spectrum no finer than Gaussian quadrature
/// does is no part of them; amid the spectrum, neighbouring Ritz values stand about range * pi / (2 m) apart.
/// \throws std::invalid_argument  if an option is out of range, or the grid is coarser than the width
/// Cost: O(S P m G) arithmetic.
/// Source: Lin, Saad & Yang (2016), Approximating spectral densities of large matrices; Ghorbani, Krishnan & Xiao
/// (2019), An investigation into neural net optimization via Hessian eigenvalue density.
SpectralDensity spectral_density(SpectralQuadrature quadrature, const DensityOptions& options = {});

}  // namespace hessian
