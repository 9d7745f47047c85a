#include "hessian/lanczos.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/spectra_solver.h"
#include "random_problems.h"
#include "refusal.h"
#include "true_residuals.h"

using hessian::DenseOperator;
using hessian::ExtremalEigenvalues;
using hessian::LanczosOptions;
using hessian::support::largest;
using hessian::support::numbers_from;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;
using hessian::support::spectra_of_size;
using hessian::support::Spectrum;

namespace hessian::tests {
namespace {

/// Computes the residual norms of both ends, [S, 2].
at::Tensor residuals_of_ends(const at::Tensor& matrices, const ExtremalEigenvalues& result) {
  return support::true_residuals(matrices, at::stack({result.vector_max, result.vector_min}, 1),
                                 at::stack({result.lambda_max, result.lambda_min}, 1));
}

void expect_unit_vectors(const ExtremalEigenvalues& result, double tolerance) {
  EXPECT_LT(largest(result.vector_max.to(at::kDouble).norm(2, 1) - 1), tolerance);
  EXPECT_LT(largest(result.vector_min.to(at::kDouble).norm(2, 1) - 1), tolerance);
}

// A residual norm r bounds the distance to some eigenvalue by r (Parlett, The Symmetric Eigenvalue Problem, 4.5), so
// that at a tolerance of 1e-10 the ends agree to 1e-9 of the spectral norm. In float32 the rounding error is about n times
// 6e-8.
TEST(Lanczos, AgreesWithEigenAndSpectraOnRandomMatricesOfEverySpectrum) {
  for (const int64_t n : {1, 2, 3, 4, 7, 8, 9, 20, 63, 64, 65, 120, 200}) {
    const auto seed = static_cast<uint64_t>(n);
    Random random(seed);
    for (const Spectrum& spectrum : spectra_of_size(n, random)) {
      SCOPED_TRACE("n " + std::to_string(n) + ", " + spectrum.name + ", seed " + std::to_string(seed));
      const at::Tensor matrix = random.with_spectrum(spectrum.values.unsqueeze(0));
      const at::Tensor exact = support::dense_eigenvalues(matrix);
      const double norm = largest(exact);
      LanczosOptions options;
      options.tolerance = 1e-10;
      options.max_iterations = 4000;
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        options.tolerance = dtype == at::kDouble ? 1e-10 : 1e-5;
        const DenseOperator op(matrix.to(dtype));
        const ExtremalEigenvalues result = hessian::lanczos(op, options);
        const double tolerance = (dtype == at::kDouble ? 1e-9 : 2e-5) * norm;
        EXPECT_NEAR(result.lambda_max.item<double>(), exact.max().item<double>(), tolerance) << dtype;
        EXPECT_NEAR(result.lambda_min.item<double>(), exact.min().item<double>(), tolerance) << dtype;
        EXPECT_NEAR(result.spectral_norm().item<double>(), norm, tolerance) << dtype;
        EXPECT_TRUE(result.converged.item<bool>()) << dtype;
        EXPECT_LE(result.residual_norm().item<double>(), options.tolerance * norm * 1.0001) << dtype;
        expect_unit_vectors(result, dtype == at::kDouble ? 1e-12 : 1e-5);
      }
      const ExtremalEigenvalues oracle = hessian::spectra_extremes(DenseOperator(matrix), options);
      EXPECT_NEAR(oracle.lambda_max.item<double>(), exact.max().item<double>(), 2e-5 * norm);
      EXPECT_NEAR(oracle.lambda_min.item<double>(), exact.min().item<double>(), 2e-5 * norm);
    }
  }
}

TEST(Lanczos, FindsOnlyTheRequestedEnd) {
  for (const int64_t n : {1, 2, 5, 40, 200}) {
    const auto seed = static_cast<uint64_t>(n);
    Random random(seed);
    for (const Spectrum& spectrum : spectra_of_size(n, random)) {
      for (const double sign : {1.0, -1.0}) {
        SCOPED_TRACE("n " + std::to_string(n) + ", " + spectrum.name + ", sign " + std::to_string(sign) + ", seed " +
                     std::to_string(seed));
        const at::Tensor matrix = random.with_spectrum(sign * spectrum.values.unsqueeze(0));
        const at::Tensor exact = support::dense_eigenvalues(matrix);
        const double norm = largest(exact);
        const DenseOperator op(matrix);
        LanczosOptions options;
        options.tolerance = 1e-6;
        options.max_iterations = 4000;
        const int both = hessian::lanczos(op, options).iterations.item<int>();

        options.ends = hessian::Ends::dominant;
        const ExtremalEigenvalues dominant = hessian::lanczos(op, options);
        EXPECT_NEAR(dominant.spectral_norm().item<double>(), norm, 1e-5 * norm);
        EXPECT_TRUE(dominant.converged.item<bool>());
        EXPECT_LE(dominant.iterations.item<int>(), both);
        const bool upper = !std::isnan(dominant.lambda_max.item<double>());
        EXPECT_NE(upper, !std::isnan(dominant.lambda_min.item<double>())) << "one end, and no more";
        const at::Tensor residuals = residuals_of_ends(matrix, dominant);  // NaN at the other end
        EXPECT_NEAR(residuals[0][upper ? 0 : 1].item<double>(), dominant.residual_norm().item<double>(), 1e-12 * norm);

        options.ends = hessian::Ends::upper;
        const ExtremalEigenvalues top = hessian::lanczos(op, options);
        EXPECT_NEAR(top.lambda_max.item<double>(), exact.max().item<double>(), 1e-5 * norm);
        EXPECT_TRUE(std::isnan(top.lambda_min.item<double>()));
        EXPECT_TRUE(top.converged.item<bool>());
        EXPECT_LE(top.iterations.item<int>(), both);

        options.ends = hessian::Ends::lower;
        const ExtremalEigenvalues bottom = hessian::lanczos(op, options);
        EXPECT_NEAR(bottom.lambda_min.item<double>(), exact.min().item<double>(), 1e-5 * norm);
        EXPECT_TRUE(std::isnan(bottom.lambda_max.item<double>()));
        EXPECT_TRUE(bottom.converged.item<bool>());
        EXPECT_LE(bottom.iterations.item<int>(), both);
      }
    }
  }
}

TEST(Lanczos, NeedsFewerProductsForTheDominantEndThanForBoth) {
  // The lower end is crowded and small: it converges slowly, and the spectral norm does not need it.
  Random random(8);
  at::Tensor values = -at::linspace(0, 1, 300, at::kDouble);
  values[0] = 3;
  const DenseOperator op(random.with_spectrum(values.unsqueeze(0)));
  LanczosOptions options;
  options.tolerance = 1e-6;
  const int both = hessian::lanczos(op, options).iterations.item<int>();
  options.ends = hessian::Ends::dominant;
  EXPECT_LT(hessian::lanczos(op, options).iterations.item<int>(), both / 2);
}

TEST(Lanczos, DoesNotTakeTheEndThatConvergesFirstForTheDominantOne) {
  // The single value at the upper end is found long before the crowded lower end, which is larger in magnitude by 0.5 %.
  const at::Tensor values = at::cat({at::linspace(-1.005, -0.2, 300, at::kDouble), at::ones({1}, at::kDouble)});
  for (const double sign : {1.0, -1.0}) {
    // The start vectors have no preferred direction: a diagonal matrix is as general as any of this spectrum.
    const DenseOperator op(at::diag_embed(sign * values).unsqueeze(0));
    for (uint64_t seed = 0; seed < 20; ++seed) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", sign " + std::to_string(sign));
      for (const double certify : {0.0, 0.01}) {
        const ExtremalEigenvalues result =
            lanczos(op, {.tolerance = 5e-4, .ends = Ends::dominant, .certificate = {.certify = certify}, .seed = seed});
        EXPECT_TRUE(result.converged.item<bool>());
        // Half of the distance between the two ends.
        EXPECT_NEAR(result.spectral_norm().item<double>(), 1.005, 0.0025) << "certify " << certify;
        EXPECT_TRUE(std::isnan((sign > 0 ? result.lambda_max : result.lambda_min).item<double>()));
      }
    }
  }
}

TEST(Lanczos, FindsTheEndsThroughManyRestartsOfASmallBasis) {
  // Far fewer vectors than a matrix of size 300 needs, so that the result depends on what the restarts keep.
  for (const int64_t max_basis : {8, 9, 12, 16}) {
    SCOPED_TRACE("basis " + std::to_string(max_basis));
    Random random(static_cast<uint64_t>(max_basis));
    const at::Tensor matrices = random.symmetric(3, 300);
    const DenseOperator op(matrices);
    LanczosOptions options;
    options.max_basis = max_basis;
    options.max_iterations = 5000;
    options.tolerance = 1e-9;
    const ExtremalEigenvalues result = hessian::lanczos(op, options);
    const at::Tensor exact = support::dense_eigenvalues(matrices);
    EXPECT_LT(largest(result.lambda_max - exact.amax(1)), 1e-8 * largest(exact));
    EXPECT_LT(largest(result.lambda_min - exact.amin(1)), 1e-8 * largest(exact));
    EXPECT_TRUE(result.converged.all().item<bool>());
    EXPECT_GT(result.iterations.min().item<int>(), 2 * max_basis) << "the case is too easy: it never restarted";
  }
}

TEST(Lanczos, ReportsTheTrueResidualNorms) {
  Random random(5);
  const at::Tensor matrices = random.symmetric(4, 150);
  for (const double tolerance : {0.3, 1e-2, 1e-4, 1e-8}) {
    SCOPED_TRACE(tolerance);
    LanczosOptions options;
    options.tolerance = tolerance;
    options.max_basis = 20;
    options.max_iterations = 2000;
    const ExtremalEigenvalues result = hessian::lanczos(DenseOperator(matrices), options);
    const at::Tensor expected = residuals_of_ends(matrices, result);
    // Rounding in float64 of a product with a matrix of norm about 25.
    EXPECT_LT(largest(result.residual_max - expected.select(1, 0)), 1e-12);
    EXPECT_LT(largest(result.residual_min - expected.select(1, 1)), 1e-12);
    EXPECT_TRUE((result.residual_norm() <= tolerance * result.spectral_norm()).all().item<bool>());
  }
}

TEST(Lanczos, SaysThatItHasNotConvergedIfTheIterationsDoNotSuffice) {
  Random random(6);
  const at::Tensor matrices = random.symmetric(2, 200);
  const at::Tensor exact = support::dense_eigenvalues(matrices);
  for (const int64_t iterations : {1, 2, 5, 12, 20}) {
    SCOPED_TRACE(iterations);
    LanczosOptions options;
    options.tolerance = 1e-8;
    options.max_iterations = iterations;
    options.max_basis = 10;
    const ExtremalEigenvalues result = hessian::lanczos(DenseOperator(matrices), options);
    EXPECT_FALSE(result.converged.any().item<bool>());
    EXPECT_TRUE((result.iterations == iterations).all().item<bool>());
    EXPECT_LT(
        largest(at::maximum(result.residual_max, result.residual_min) - residuals_of_ends(matrices, result).amax(1)),
        1e-12);
    // Ritz values never leave the spectrum.
    EXPECT_TRUE((result.lambda_max <= exact.amax(1) + 1e-10).all().item<bool>());
    EXPECT_TRUE((result.lambda_min >= exact.amin(1) - 1e-10).all().item<bool>());
  }
}

TEST(Lanczos, ReportsConvergenceTruthfullyIfRoundingPreventsTheTolerance) {
  Random random(7);
  LanczosOptions options;
  options.tolerance = 1e-13;  // float32 rounds at 6e-8
  options.max_iterations = 400;
  options.max_basis = 24;
  for (const Spectrum& spectrum : spectra_of_size(60, random)) {
    SCOPED_TRACE(spectrum.name);
    const at::Tensor matrix = random.with_spectrum(spectrum.values.unsqueeze(0)).to(at::kFloat);
    const ExtremalEigenvalues result = hessian::lanczos(DenseOperator(matrix), options);
    const at::Tensor exact = support::dense_eigenvalues(matrix);
    const double norm = largest(exact);
    EXPECT_NEAR(result.lambda_max.item<double>(), exact.max().item<double>(), 1e-5 * norm);
    EXPECT_NEAR(result.lambda_min.item<double>(), exact.min().item<double>(), 1e-5 * norm);
    EXPECT_EQ(result.converged.item<bool>(), result.residual_norm().item<double>() <= 1e-13 * norm);
    // The products for the residuals are in float32 as well.
    EXPECT_LT(largest(result.residual_norm() - residuals_of_ends(matrix, result).amax(1)), 1e-5 * norm + 1e-30);
  }
}

TEST(Lanczos, NeverCallsNonFiniteProductsConverged) {
  at::Tensor matrices = Random(8).symmetric(2, 12);
  matrices[1][3][3] = std::numeric_limits<double>::quiet_NaN();
  const ExtremalEigenvalues result = hessian::lanczos(DenseOperator(matrices));
  EXPECT_TRUE(result.converged[0].item<bool>());
  EXPECT_FALSE(result.converged[1].item<bool>());
  EXPECT_TRUE(std::isnan(result.residual_norm()[1].item<double>()));
}

TEST(Lanczos, StopsProblemsWithNonFiniteProductsAtOnce) {
  Random random(8);
  at::Tensor matrices = random.symmetric(3, 40);
  matrices[1][3][3] = std::numeric_limits<double>::infinity();
  const DenseOperator dense(matrices);
  for (const hessian::Ends ends : {hessian::Ends::both, hessian::Ends::dominant, hessian::Ends::lower}) {
    const RecordingOperator op(dense);
    const ExtremalEigenvalues result = hessian::lanczos(op, {.tolerance = 1e-8, .ends = ends});
    EXPECT_TRUE(at::equal(result.converged, at::tensor({1, 0, 1}).to(at::kBool)));
    EXPECT_TRUE(std::isnan(result.spectral_norm()[1].item<double>()));
    EXPECT_TRUE(std::isnan(result.residual_norm()[1].item<double>()));
    EXPECT_EQ(result.iterations[1].item<int>(), 1);
    EXPECT_LE(op.products(1), 3);
  }
}

TEST(Lanczos, VerifiesBothEndsInOneCallUnlessOneAtATimeIsRequested) {
  const DenseOperator dense(Random(12).symmetric(2, 60));
  const auto calls_after_the_iteration = [&](const LanczosOptions& options) {
    const RecordingOperator op(dense);
    const int iterations = hessian::lanczos(op, options).iterations.max().item<int>();
    return static_cast<int>(op.calls().size()) - iterations;
  };
  EXPECT_EQ(calls_after_the_iteration({}), 1);
  EXPECT_EQ(calls_after_the_iteration({.verified_at_once = 1}), 2);
  EXPECT_EQ(calls_after_the_iteration({.ends = hessian::Ends::dominant}), 1);
  const ExtremalEigenvalues together = hessian::lanczos(dense);
  const ExtremalEigenvalues apart = hessian::lanczos(dense, {.verified_at_once = 1});
  EXPECT_LT(largest(together.residual_max - apart.residual_max), 1e-12);
  EXPECT_LT(largest(together.residual_min - apart.residual_min), 1e-12);
  EXPECT_GT(largest(together.residual_max - together.residual_min), 1e-6);
  EXPECT_THROW(hessian::lanczos(dense, {.verified_at_once = 0}), std::invalid_argument);
}

TEST(Lanczos, MeasuresHowFarTheProductsAreFromThoseOfASymmetricMatrix) {
  Random random(13);
  // The basis spans all 12 dimensions, so that ||V^T H V - (V^T H V)^T||_F is that of H itself.
  const at::Tensor lopsided = random.symmetric(3, 12) + 1e-3 * random.normal({3, 12, 12});
  const ExtremalEigenvalues found = hessian::lanczos(DenseOperator(lopsided), {.tolerance = 1e-13});
  const at::Tensor expected = (lopsided - lopsided.transpose(1, 2)).flatten(1).norm(2, 1);
  EXPECT_LT(largest(found.asymmetry / expected - 1), 1e-8);
  // Rounding errors of symmetric matrices, also over restarts and for a Krylov space that is exhausted.
  at::Tensor few = at::zeros({1, 80}, at::kDouble);
  few[0][0] = 1;
  few[0][1] = -3;
  const at::Tensor symmetric = at::cat({random.symmetric(2, 80), random.with_spectrum(few)});
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const double rounding = dtype == at::kDouble ? 1e-15 : 1e-6;
    const ExtremalEigenvalues result = hessian::lanczos(
        DenseOperator(symmetric.to(dtype)), {.tolerance = 1e-5, .certificate = {.certify = 0}, .max_basis = 12});
    EXPECT_GT(result.iterations[0].item<int>(), 24);
    EXPECT_LT(largest(result.asymmetry / result.spectral_norm()), 50 * rounding) << dtype;
    EXPECT_GT(result.asymmetry[0].item<double>(), 0.0);
  }
}

TEST(Lanczos, GivesTheSameEndsForEverySeed) {
  const at::Tensor matrices = Random(9).symmetric(2, 100);
  LanczosOptions options;
  options.tolerance = 1e-10;
  const ExtremalEigenvalues first = hessian::lanczos(DenseOperator(matrices), options);
  for (uint64_t seed = 1; seed < 8; ++seed) {
    SCOPED_TRACE(seed);
    options.seed = seed;
    const ExtremalEigenvalues other = hessian::lanczos(DenseOperator(matrices), options);
    EXPECT_FALSE(at::equal(hessian::random_unit_vectors(DenseOperator(matrices), options.seeds()),
                           hessian::random_unit_vectors(DenseOperator(matrices), {})));
    // The error of a Ritz value is of second order in the residual, far below the rounding of 1e-12.
    EXPECT_LT(largest(other.lambda_max - first.lambda_max), 1e-11 * largest(first.lambda_max));
    EXPECT_LT(largest(other.lambda_min - first.lambda_min), 1e-11 * largest(first.lambda_min));
  }
}

TEST(Lanczos, FreezesConvergedProblemsWithoutChangingTheirNeighbours) {
  Random random(10);
  const at::Tensor hard = random.symmetric(2, 80);
  at::Tensor easy = at::zeros({1, 80}, at::kDouble);
  easy[0][0] = 1.0;
  easy[0][1] = -2.0;  // three products span its Krylov space
  const DenseOperator three(at::cat({hard.narrow(0, 0, 1), random.with_spectrum(easy), hard.narrow(0, 1, 1)}));
  const RecordingOperator recorded(three);
  LanczosOptions options;
  options.tolerance = 1e-10;
  options.max_iterations = 1000;
  options.max_basis = 30;
  const ExtremalEigenvalues result = hessian::lanczos(recorded, options);

  EXPECT_TRUE(result.converged.all().item<bool>());
  EXPECT_LE(result.iterations[1].item<int>(), 4);
  for (int64_t problem = 0; problem < 3; ++problem) {
    // Two more for the residual norms of both ends.
    EXPECT_EQ(recorded.products(problem), result.iterations[problem].item<int>() + 2) << "problem " << problem;
  }
  EXPECT_LT(recorded.products(1), recorded.products(0));

  // Alone, the hard problems have the same start vectors and the same iterations, up to the order of sums.
  for (const int64_t problem : {0, 2}) {
    LanczosOptions alone = options;
    alone.problem_numbers = {problem};
    const DenseOperator one(hard.narrow(0, problem / 2, 1));
    const ExtremalEigenvalues single = hessian::lanczos(one, alone);
    EXPECT_EQ(single.iterations[0].item<int>(), result.iterations[problem].item<int>());
    EXPECT_NEAR(single.lambda_max.item<double>(), result.lambda_max[problem].item<double>(), 1e-11);
    EXPECT_NEAR(single.lambda_min.item<double>(), result.lambda_min[problem].item<double>(), 1e-11);
  }
}

TEST(Lanczos, DoesNotDependOnHowTheProblemsAreDividedIntoGroups) {
  const at::Tensor matrices = Random(11).symmetric(7, 90);
  LanczosOptions options;
  options.tolerance = 1e-6;  // loose, so that a different iteration would give different Ritz values
  options.seed = 3;
  const ExtremalEigenvalues whole = hessian::lanczos(DenseOperator(matrices), options);
  for (const int64_t group : {1, 2, 3}) {
    for (int64_t first = 0; first < 7; first += group) {
      SCOPED_TRACE("problems " + std::to_string(first) + " in groups of " + std::to_string(group));
      const int64_t count = std::min(group, 7 - first);
      options.problem_numbers = numbers_from(first, count);
      const ExtremalEigenvalues part = hessian::lanczos(DenseOperator(matrices.narrow(0, first, count)), options);
      EXPECT_LT(largest(part.lambda_max - whole.lambda_max.narrow(0, first, count)), 1e-10);
      EXPECT_LT(largest(part.lambda_min - whole.lambda_min.narrow(0, first, count)), 1e-10);
      EXPECT_TRUE(at::equal(part.iterations, whole.iterations.narrow(0, first, count)));
    }
  }
}

TEST(Lanczos, FindsBothEndsIfTheirMagnitudesAreEqual) {
  // Power iteration stalls in this case.
  Random random(12);
  const at::Tensor half = random.normal({50}).abs();
  const at::Tensor matrix = random.with_spectrum(at::cat({half, -half}).unsqueeze(0));
  LanczosOptions options;
  options.tolerance = 1e-9;
  const ExtremalEigenvalues result = hessian::lanczos(DenseOperator(matrix), options);
  EXPECT_NEAR(result.lambda_max.item<double>(), half.max().item<double>(), 1e-9);
  EXPECT_NEAR(result.lambda_min.item<double>(), -half.max().item<double>(), 1e-9);
  EXPECT_TRUE(result.converged.item<bool>());
}

TEST(Lanczos, RefusesOptionsOutOfRange) {
  const DenseOperator op(Random(13).symmetric(1, 20));
  const auto refusal = [&](auto&& change) {
    LanczosOptions options;
    change(options);
    return refusal_of<std::invalid_argument>([&] { hessian::lanczos(op, options); });
  };
  EXPECT_EQ(refusal([](LanczosOptions& o) { o.max_basis = 7; }), "the basis has 7 vectors; it must have at least 8");
  EXPECT_EQ(refusal([](LanczosOptions& o) { o.tolerance = 0; }), "the tolerance is 0.000000; it must be positive");
  EXPECT_EQ(refusal([](LanczosOptions& o) { o.tolerance = std::nan(""); }),
            "the tolerance is nan; it must be positive");
  EXPECT_EQ(refusal([](LanczosOptions& o) { o.max_iterations = 0; }), "the iteration limit is 0; it must be positive");
  EXPECT_EQ(refusal_of<std::invalid_argument>([] {
              hessian::lanczos(DenseOperator(at::zeros({0, 4, 4}, at::kDouble)));
            }),
            "the operator has 0 problems of size 4; an eigensolver needs at least one of each");
  EXPECT_EQ(refusal_of<std::invalid_argument>([] {
              hessian::lanczos(DenseOperator(at::zeros({2, 0, 0}, at::kDouble)));
            }),
            "the operator has 2 problems of size 0; an eigensolver needs at least one of each");
}

}  // namespace
}  // namespace hessian::tests
