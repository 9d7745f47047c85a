#include "hessian/spectral_density.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "refusal.h"
#include "z_scores.h"

using hessian::DenseOperator;
using hessian::DensityOptions;
using hessian::QuadratureOptions;
using hessian::SpectralDensity;
using hessian::SpectralQuadrature;
using hessian::support::largest;
using hessian::support::numbers_from;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;
using hessian::support::ZScores;

namespace hessian::tests {
namespace {

QuadratureOptions with_seed(uint64_t seed, int64_t samples, int64_t steps) {
  QuadratureOptions options;
  options.seed = seed;
  options.samples = samples;
  options.steps = steps;
  return options;
}

/// Evaluates Gaussians of one width around all eigenvalues [n] of a matrix, with weight 1 / n each, on a grid [G].
at::Tensor exact_density(const at::Tensor& eigenvalues, const at::Tensor& grid, double width) {
  const at::Tensor distance = (grid.unsqueeze(1) - eigenvalues.unsqueeze(0)) / width;
  return at::exp(distance.square() / -2).mean(1) / (width * std::sqrt(2 * M_PI));
}

TEST(SpectralQuadrature, IsExactForPolynomialsOfDegreeBelowTwiceTheSteps) {
  const at::Tensor matrices = Random(1).symmetric(3, 40) / 4;
  const DenseOperator op(matrices);
  const QuadratureOptions options = with_seed(2, 2, 5);
  const SpectralQuadrature quadrature = hessian::spectral_quadrature(op, options);
  const at::Tensor v =
      hessian::random_unit_vectors(op, options.seeds()).unsqueeze(2);  // start vectors of the first sample
  at::Tensor image = v;
  for (int power = 0; power <= 10; ++power) {
    const at::Tensor expected = (v * image).sum({1, 2});
    const at::Tensor sum = (quadrature.weights * quadrature.nodes.pow(power)).sum(2).select(1, 0);
    if (power < 10) {
      // Eigenvalues reach about 1.6, and their tenth power about 100.
      EXPECT_LT(largest(sum - expected), 1e-11) << "power " << power;
    } else {
      EXPECT_GT(largest(sum - expected), 1e-6) << "the case cannot tell 5 steps from more";
    }
    image = at::bmm(matrices, image);
  }
}

TEST(SpectralQuadrature, IsTheWholeSpectrumAfterNSteps) {
  for (const int64_t n : {1, 2, 9, 30}) {
    SCOPED_TRACE("n " + std::to_string(n));
    const at::Tensor matrix = Random(static_cast<uint64_t>(n)).symmetric(1, n);
    const DenseOperator op(matrix);
    const QuadratureOptions options = with_seed(3, 4, n + 5);
    const SpectralQuadrature quadrature = hessian::spectral_quadrature(op, options);
    ASSERT_EQ(quadrature.nodes.size(2), n);
    const auto [eigenvalues, eigenvectors] = at::linalg_eigh(matrix[0]);
    const at::Tensor v = hessian::random_unit_vectors(op, options.seeds());
    const at::Tensor shares = at::mv(eigenvectors.t(), v[0]).square();
    EXPECT_LT(largest(quadrature.nodes[0][0] - eigenvalues), 1e-10);
    EXPECT_LT(largest(quadrature.weights[0][0] - shares), 1e-9);
  }
}

TEST(SpectralQuadrature, StopsWhenTheKrylovSpaceIsExhausted) {
  // Ranks 0, 1, 3 and full: the Krylov space has one dimension per distinct nonzero eigenvalue, and one for zero.
  Random random(4);
  at::Tensor values = at::zeros({4, 30}, at::kDouble);
  values[1][0] = 2;
  values[2].narrow(0, 0, 3).copy_(at::tensor({1.0, -2.0, 3.0}, at::kDouble));
  values[3].copy_(random.normal({30}));
  const at::Tensor matrices = random.with_spectrum(values);
  const DenseOperator dense(matrices);
  const RecordingOperator op(dense);
  const SpectralQuadrature quadrature = hessian::spectral_quadrature(op, with_seed(0, 3, 12));
  const std::vector<int64_t> expected = {1, 2, 4, 12};
  for (int64_t problem = 0; problem < 4; ++problem) {
    const int64_t nodes = expected[static_cast<std::size_t>(problem)];
    SCOPED_TRACE("problem " + std::to_string(problem));
    // A coupling just above rounding errors, divided by a small one before it, adds a node, which repeats an eigenvalue.
    EXPECT_GE(op.products(problem), 3 * nodes);
    EXPECT_LE(op.products(problem), nodes == 12 ? 36 : 3 * nodes + 1);
    const at::Tensor present = quadrature.nodes[problem].isfinite();
    EXPECT_EQ(present.sum().item<int64_t>(), op.products(problem));
    EXPECT_EQ(largest(quadrature.weights[problem].masked_fill(present, 0)), 0.0);
    if (nodes < 12) {
      const at::Tensor distances = quadrature.nodes[problem].unsqueeze(2) - values[problem];
      EXPECT_LT(largest(distances.abs().amin(2).masked_select(present)), 1e-9);
    }
    EXPECT_LT(largest(quadrature.weights[problem].sum(1) - 1), 1e-12);
  }
  QuadratureOptions alone = with_seed(0, 3, 12);
  alone.problem_numbers = {3};
  const SpectralQuadrature single = hessian::spectral_quadrature(DenseOperator(matrices.narrow(0, 3, 1)), alone);
  EXPECT_LT(largest(single.nodes[0] - quadrature.nodes[3]), 1e-11);
}

TEST(SpectralMoment, AveragesTheExactQuadraticFormsOfAllSamples) {
  const at::Tensor matrices = Random(5).symmetric(2, 25);
  const DenseOperator op(matrices);
  const SpectralQuadrature quadrature = hessian::spectral_quadrature(op, with_seed(1, 40, 25));
  const at::Tensor ones = hessian::spectral_moment(quadrature, 0).value;
  EXPECT_LT(largest(ones - 25), 1e-10);
  // With H^2 = H H: the moment of power 2 is that of power 1 of the square.
  const DenseOperator squared(at::bmm(matrices, matrices));
  const at::Tensor of_square =
      hessian::spectral_moment(hessian::spectral_quadrature(squared, with_seed(1, 40, 25)), 1).value;
  EXPECT_LT(largest(hessian::spectral_moment(quadrature, 2).value - of_square), 1e-9);
}

// 60 draws for each of 4 matrices: the mean square of 240 scores has a standard deviation of sqrt(2 / 240), about 0.1.
TEST(SpectralMoment, IsWithinItsStandardErrorsOfTheTraces) {
  const at::Tensor matrices = Random(6).symmetric(4, 50) + 0.5 * at::eye(50, at::kDouble);
  const DenseOperator op(matrices);
  ZScores first;
  ZScores second;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const SpectralQuadrature quadrature = hessian::spectral_quadrature(op, with_seed(seed, 16, 4));
    first.add(hessian::spectral_moment(quadrature, 1), matrices.diagonal(0, 1, 2).sum(1));
    second.add(hessian::spectral_moment(quadrature, 2), matrices.square().sum({1, 2}));
  }
  first.expect_honest(16, 0.35);
  second.expect_honest(16, 0.35);
}

TEST(SpectralDensity, IsWithinItsStandardErrorsOfTheBroadenedSpectrum) {
  const at::Tensor matrix = Random(7).symmetric(1, 60);
  const DenseOperator op(matrix);
  const at::Tensor eigenvalues = support::dense_eigenvalues(matrix)[0];
  DensityOptions options;
  options.relative_width = 0.05;
  options.grid_points = 60;
  ZScores scores;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const SpectralDensity density =
        hessian::spectral_density(hessian::spectral_quadrature(op, with_seed(seed, 20, 60)), options);
    const at::Tensor grid = density.grid[0];
    const at::Tensor exact = exact_density(eigenvalues, grid, density.width.item<double>());
    // Outside the spectrum both are the tail of one Gaussian with a skewed weight: compare points inside it only.
    const int64_t first = 6;
    const int64_t count = grid.size(0) - 2 * first;
    scores.add(
        {density.density.value[0].narrow(0, first, count), density.density.standard_error[0].narrow(0, first, count)},
        exact.narrow(0, first, count));
  }
  // 48 points per draw, independent if about four widths apart: of the order of a thousand scores.
  scores.expect_honest(20, 0.3);
}

TEST(SpectralDensity, HasTheAreaOneAndStatesItsWidthAndRitzValues) {
  Random random(8);
  // A broad spectrum, one of a few eigenvalues, and two of a single eigenvalue.
  const at::Tensor few =
      at::where(random.normal({50}) > 0, at::ones({50}, at::kDouble), at::full({50}, -2.0, at::kDouble));
  const at::Tensor matrices = random.with_spectrum(
      at::stack({random.normal({50}), few, at::full({50}, 4.0, at::kDouble), at::zeros({50}, at::kDouble)}));
  const SpectralQuadrature quadrature = hessian::spectral_quadrature(DenseOperator(matrices), with_seed(0, 4, 20));
  const SpectralDensity density = hessian::spectral_density(quadrature);
  // Uniform points a quarter of a width apart: the sum is the integral up to the tails beyond 4 widths, below 1e-4.
  const at::Tensor step = density.grid.select(1, 1) - density.grid.select(1, 0);
  EXPECT_LT(largest(density.density.value.sum(1) * step - 1), 1e-4);
  EXPECT_GE(density.density.value.min().item<double>(), 0.0);
  EXPECT_NEAR(density.width[1].item<double>(), 0.03, 1e-9);
  EXPECT_NEAR(density.width[2].item<double>(), 0.04, 1e-9);
  EXPECT_NEAR(density.width[3].item<double>(), 0.01, 1e-9);
  EXPECT_TRUE(at::equal(density.quadrature.weights, quadrature.weights));
}

TEST(SpectralDensity, EstimatesTheMassNearZeroWithItsError) {
  // 35 of 50 eigenvalues are zero, and four more are within the threshold.
  Random random(9);
  at::Tensor values = at::zeros({4, 50}, at::kDouble);
  values.narrow(1, 0, 11).copy_(random.normal({4, 11}).sign() * (1 + random.normal({4, 11}).abs()));
  values.narrow(1, 11, 4).fill_(1e-5);
  const DenseOperator op(random.with_spectrum(values));
  ZScores scores;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    const SpectralDensity density =
        hessian::spectral_density(hessian::spectral_quadrature(op, with_seed(seed, 20, 30)));
    EXPECT_LT(largest(density.zero_threshold - 1e-3 * values.abs().amax(1)), 1e-9);
    scores.add(density.mass_near_zero, at::full({4}, 39.0 / 50, at::kDouble));
  }
  scores.expect_honest(20, 0.35);
}

TEST(SpectralDensity, AgreesInFloat32AndForGroupsOfTheProblems) {
  const at::Tensor matrices = Random(10).symmetric(4, 40);
  const SpectralDensity whole =
      hessian::spectral_density(hessian::spectral_quadrature(DenseOperator(matrices), with_seed(5, 3, 10)));
  const SpectralDensity narrow = hessian::spectral_density(
      hessian::spectral_quadrature(DenseOperator(matrices.to(at::kFloat)), with_seed(5, 3, 10)));
  // Rounding errors of 6e-8 move Ritz values by about 1e-5 of their width, 0.2.
  EXPECT_LT(largest(narrow.grid - whole.grid), 1e-4);
  EXPECT_LT(largest(narrow.density.value - whole.density.value), 1e-3 * largest(whole.density.value));
  for (int64_t first = 0; first < 4; first += 2) {
    QuadratureOptions options = with_seed(5, 3, 10);
    options.problem_numbers = numbers_from(first, 2);
    const SpectralDensity part =
        hessian::spectral_density(hessian::spectral_quadrature(DenseOperator(matrices.narrow(0, first, 2)), options));
    EXPECT_LT(largest(part.density.value - whole.density.value.narrow(0, first, 2)), 1e-10);
    EXPECT_LT(largest(part.density.standard_error - whole.density.standard_error.narrow(0, first, 2)), 1e-10);
    EXPECT_LT(largest(part.mass_near_zero.value - whole.mass_near_zero.value.narrow(0, first, 2)), 1e-10);
  }
}

TEST(SpectralDensity, RefusesWhatCannotBeEstimated) {
  const DenseOperator op(Random(11).symmetric(2, 8));
  const auto refusal = [&](const QuadratureOptions& options) {
    return refusal_of<std::invalid_argument>([&] { hessian::spectral_quadrature(op, options); });
  };
  EXPECT_EQ(refusal(with_seed(0, 1, 8)), "the number of samples is 1; it must be at least 2");
  EXPECT_EQ(refusal(with_seed(0, 2, 0)), "the number of Lanczos steps is 0; it must be positive");
  const SpectralQuadrature quadrature = hessian::spectral_quadrature(op);
  const auto density_refusal = [&](const DensityOptions& options) {
    return refusal_of<std::invalid_argument>([&] { hessian::spectral_density(quadrature, options); });
  };
  EXPECT_EQ(density_refusal({108, 0.01, 1e-3}),
            "the grid has 108 points; it needs at least 109, or peaks of this width may fall between them");
  EXPECT_EQ(density_refusal({401, 0, 1e-3}), "the relative width is 0.000000; it must be positive");
  EXPECT_EQ(density_refusal({401, 0.01, -1}), "the relative zero is -1.000000; it must not be negative");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { hessian::spectral_moment(quadrature, -1); }),
            "the power is -1; it must not be negative");
}

TEST(SpectralDensity, IsNotANumberForAProblemThatIsNotFiniteAndLeavesTheOthersAsTheyAre) {
  at::Tensor matrices = Random(11).symmetric(3, 8);
  const auto density_of = [](const hessian::LinearOperator& op) {
    return hessian::spectral_density(hessian::spectral_quadrature(op, with_seed(3, 4, 6)));
  };
  const SpectralDensity expected = density_of(DenseOperator(matrices));
  matrices[1][2][2] = std::numeric_limits<double>::quiet_NaN();
  const DenseOperator dense(matrices);
  const support::RecordingOperator op(dense);
  const SpectralDensity found = density_of(op);
  EXPECT_EQ(op.products(0), 4 * 6);
  EXPECT_EQ(op.products(1), 1);
  for (const auto& [numbers, reference] : {std::pair(found.density.value, expected.density.value),
                                           {found.grid, expected.grid},
                                           {found.density.standard_error, expected.density.standard_error},
                                           {found.width, expected.width},
                                           {found.mass_near_zero.value, expected.mass_near_zero.value},
                                           {found.zero_threshold, expected.zero_threshold},
                                           {found.quadrature.nodes, expected.quadrature.nodes},
                                           {found.quadrature.weights, expected.quadrature.weights}}) {
    EXPECT_TRUE(numbers[1].isnan().all().item<bool>());
    EXPECT_LT(largest(numbers[0] - reference[0]), 1e-10);
    EXPECT_LT(largest(numbers[2] - reference[2]), 1e-10);
  }
  EXPECT_TRUE(hessian::spectral_moment(found.quadrature, 1).value[1].isnan().item<bool>());
}

}  // namespace
}  // namespace hessian::tests
