#include "hessian/power_iteration.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::DenseOperator;
using hessian::DominantEigenpairs;
using hessian::EigensolverOptions;
using hessian::ExtremalEigenvalues;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

EigensolverOptions tight() {
  EigensolverOptions options;
  options.tolerance = 1e-9;
  options.max_iterations = 20000;
  return options;
}

/// Eigenvalues by magnitude, largest first, [S, n].
at::Tensor by_magnitude(const at::Tensor& eigenvalues) {
  return eigenvalues.gather(1, eigenvalues.abs().argsort(1, /*descending=*/true));
}

/// ||Hv - lambda v|| of every pair, computed here, [S, k].
at::Tensor true_residuals(const at::Tensor& matrices, const DominantEigenpairs& pairs) {
  return (at::matmul(pairs.vectors, matrices) - pairs.values.unsqueeze(2) * pairs.vectors).norm(2, 2);
}

TEST(PowerIteration, FindsTheEigenvalueOfLargestMagnitudeWithItsSign) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const int64_t n = random.integer(1, 60);
    SCOPED_TRACE("n " + std::to_string(n) + ", seed " + std::to_string(seed));
    at::Tensor values = random.normal({3, n}) / 2;
    const double sign = seed % 2 == 0 ? 1.0 : -1.0;
    values.select(1, 0).copy_(sign * (values.abs().amax(1) + 0.3));  // a gap, so that it converges
    const at::Tensor matrices = random.with_spectrum(values);
    const DominantEigenpairs pairs = hessian::power_iteration(DenseOperator(matrices), tight());
    EXPECT_LT(largest(pairs.values.select(1, 0) - values.select(1, 0)), 1e-9);
    EXPECT_TRUE(pairs.converged.all().item<bool>());
    EXPECT_LT(largest(pairs.residuals - true_residuals(matrices, pairs)), 1e-13);
    EXPECT_LT(largest(pairs.vectors.norm(2, 2) - 1), 1e-13);
  }
}

TEST(PowerIteration, DeflatesToTheLargestPairsInOrder) {
  Random random(20);
  const at::Tensor values = at::tensor({5.0, -4.0, 3.0, -2.0, 1.5, 0.3, 0.2, -0.1, 0.05, 0.0}, at::kDouble);
  const at::Tensor matrices = random.with_spectrum(values.expand({2, 10}));
  for (const double tolerance : {1e-9, 1e-4}) {
    SCOPED_TRACE(tolerance);
    EigensolverOptions options = tight();
    options.tolerance = tolerance;
    const DominantEigenpairs pairs = hessian::power_iteration(DenseOperator(matrices), options, 5);
    // Eigenvalues err by the square of the residual, 5 times the tolerance, over the gap, 0.5 at least.
    EXPECT_LT(largest(pairs.values - values.narrow(0, 0, 5)), std::max(100 * tolerance * tolerance, 1e-9));
    EXPECT_LT(largest(at::matmul(pairs.vectors, pairs.vectors.transpose(1, 2)) - at::eye(5, at::kDouble)), 1e-12);
    // Residuals are those of H itself, not of what deflation left of it.
    EXPECT_LT(largest(pairs.residuals - true_residuals(matrices, pairs)), 1e-12);
    EXPECT_TRUE(at::equal(pairs.converged, pairs.residuals <= tolerance * 5));
  }
}

TEST(PowerIteration, FindsAllPairsOfASmallMatrixTheSingularOnesIncluded) {
  Random random(21);
  const at::Tensor values = at::tensor({-3.0, 2.0, 0.0, 0.0}, at::kDouble).unsqueeze(0);
  const at::Tensor matrix = random.with_spectrum(values);
  const DominantEigenpairs pairs = hessian::power_iteration(DenseOperator(matrix), tight(), 4);
  EXPECT_LT(largest(pairs.values - by_magnitude(support::dense_eigenvalues(matrix))), 1e-8);
  EXPECT_TRUE(pairs.converged[0][0].item<bool>());
  // A later pair may err by its own tolerance, 3e-9, and by those of the pairs before it.
  EXPECT_LT(largest(pairs.residuals), 4 * 3e-9);
  EXPECT_LT(largest(at::matmul(pairs.vectors, pairs.vectors.transpose(1, 2)) - at::eye(4, at::kDouble)), 1e-12);
}

TEST(PowerIteration, SaysThatItStallsWhereTheTwoLargestMagnitudesAreEqual) {
  Random random(22);
  const at::Tensor matrix =
      random.with_spectrum(at::tensor({2.0, -2.0, 0.5, 0.1, -0.3, 0.0}, at::kDouble).unsqueeze(0));
  EigensolverOptions options = tight();
  options.max_iterations = 500;
  const DominantEigenpairs pairs = hessian::power_iteration(DenseOperator(matrix), options);
  EXPECT_FALSE(pairs.converged.item<bool>());
  EXPECT_EQ(pairs.iterations.item<int>(), 500);
  EXPECT_GT(pairs.residuals.item<double>(), 0.1);
  EXPECT_LT(largest(pairs.residuals - true_residuals(matrix, pairs)), 1e-12);
  EXPECT_FALSE(hessian::power_extremes(DenseOperator(matrix), options).converged.item<bool>());
}

TEST(PowerIteration, GivesZeroForTheZeroOperator) {
  const DenseOperator op(at::zeros({2, 5, 5}, at::kDouble));
  const DominantEigenpairs pairs = hessian::power_iteration(op, tight(), 2);
  EXPECT_EQ(largest(pairs.values), 0.0);
  EXPECT_EQ(largest(pairs.residuals), 0.0);
  EXPECT_TRUE(pairs.converged.all().item<bool>());
  EXPECT_LT(largest(pairs.vectors.norm(2, 2) - 1), 1e-13);
  EXPECT_EQ(largest(hessian::power_extremes(op, tight()).spectral_norm()), 0.0);
}

TEST(PowerIteration, AsksNothingMoreOfBlocksThatHaveConverged) {
  Random random(23);
  const at::Tensor easy = at::tensor({1.0, 0.0, 0.0, 0.0}, at::kDouble);
  const at::Tensor hard = at::tensor({1.0, 0.97, -0.5, 0.1}, at::kDouble);
  const at::Tensor matrices = random.with_spectrum(at::stack({hard, easy, hard}));
  const DenseOperator dense(matrices);
  const RecordingOperator op(dense);
  const DominantEigenpairs pairs = hessian::power_iteration(op, tight());
  EXPECT_LE(pairs.iterations[1][0].item<int>(), 3);
  EXPECT_GT(pairs.iterations[0][0].item<int>(), 100);
  for (int64_t block = 0; block < 3; ++block) {
    EXPECT_LE(op.products(block), pairs.iterations[block][0].item<int>() + 1) << "block " << block;
  }
  for (const int64_t block : {0, 2}) {
    EigensolverOptions options = tight();
    options.problem_numbers = {block};
    const auto alone = hessian::power_iteration(DenseOperator(matrices.narrow(0, block, 1)), options);
    EXPECT_EQ(alone.iterations.item<int>(), pairs.iterations[block][0].item<int>());
    EXPECT_NEAR(alone.values.item<double>(), pairs.values[block][0].item<double>(), 1e-12);
  }
}

TEST(PowerExtremes, FindsBothEndsByAShift) {
  Random random(24);
  // The dominant end above and below, and spectra of one sign.
  const at::Tensor values =
      at::stack({at::linspace(-1.0, 2.0, 12, at::kDouble), at::linspace(-2.0, 1.0, 12, at::kDouble),
                 at::linspace(0.5, 2.0, 12, at::kDouble), at::linspace(-2.0, -0.5, 12, at::kDouble),
                 at::linspace(-1.9, 2.0, 12, at::kDouble)});
  const at::Tensor matrices = random.with_spectrum(values);
  for (const double tolerance : {1e-3, 1e-6, 1e-9}) {
    SCOPED_TRACE(tolerance);
    EigensolverOptions options = tight();
    options.tolerance = tolerance;
    const ExtremalEigenvalues result = hessian::power_extremes(DenseOperator(matrices), options);
    const double error = std::max(50 * tolerance * tolerance, 1e-9);  // residual^2 / gap, gaps of 0.1 at least
    EXPECT_LT(largest(result.lambda_max - values.amax(1)), error);
    EXPECT_LT(largest(result.lambda_min - values.amin(1)), error);
    // It stops only where both ends are good enough, since the iterations allowed are far more than needed.
    EXPECT_TRUE(result.converged.all().item<bool>());
    EXPECT_TRUE((result.residual_norm() <= tolerance * result.spectral_norm()).all().item<bool>());
    EXPECT_LT(result.iterations.max().item<int>(), 2000);
  }
}

TEST(PowerExtremes, StopsAtTheDominantEndWhereNoMoreIsSought) {
  Random random(31);
  for (const double sign : {1.0, -1.0}) {
    const at::Tensor values = sign * at::tensor({-4.0, 3.0, 1.0, 0.5, -0.1}, at::kDouble).unsqueeze(0);
    const DenseOperator op(random.with_spectrum(values));
    EigensolverOptions options = tight();
    options.ends = hessian::Ends::dominant;
    const auto ends = hessian::power_extremes(op, options);
    EXPECT_NEAR(ends.spectral_norm().item<double>(), 4.0, 1e-9);
    EXPECT_TRUE(ends.converged.item<bool>());
    EXPECT_TRUE(std::isnan((sign > 0 ? ends.lambda_max : ends.lambda_min).item<double>()));
    EXPECT_EQ(ends.iterations.item<int>(), hessian::power_iteration(op, options).iterations.item<int>());
  }
}

TEST(PowerExtremes, GivesOneEigenvalueTwiceForAMultipleOfTheIdentity) {
  const ExtremalEigenvalues result =
      hessian::power_extremes(DenseOperator(at::eye(6, at::kDouble).unsqueeze(0) * -1.5), tight());
  EXPECT_NEAR(result.lambda_max.item<double>(), -1.5, 1e-12);
  EXPECT_NEAR(result.lambda_min.item<double>(), -1.5, 1e-12);
  EXPECT_TRUE(result.converged.item<bool>());
}

TEST(PowerIteration, NeverCallsNonFiniteProductsConverged) {
  at::Tensor matrices = Random(25).symmetric(1, 4);
  matrices[0][1][1] = std::numeric_limits<double>::infinity();
  EigensolverOptions options = tight();
  options.max_iterations = 20;
  EXPECT_FALSE(hessian::power_iteration(DenseOperator(matrices), options).converged.item<bool>());
  EXPECT_FALSE(hessian::power_extremes(DenseOperator(matrices), options).converged.item<bool>());
}

TEST(PowerIteration, RefusesOptionsOutOfRange) {
  const DenseOperator op(Random(26).symmetric(1, 4));
  const auto refusal = [&](const EigensolverOptions& options, int64_t count) {
    return refusal_of<std::invalid_argument>([&] { hessian::power_iteration(op, options, count); });
  };
  EXPECT_EQ(refusal(tight(), 0), "0 eigenpairs asked of an operator of size 4");
  EXPECT_EQ(refusal(tight(), 5), "5 eigenpairs asked of an operator of size 4");
  EigensolverOptions none = tight();
  none.max_iterations = -1;
  EXPECT_EQ(refusal(none, 1), "the iteration limit is -1; it must be positive");
}

}  // namespace
}  // namespace hessian::tests
