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
#include "true_residuals.h"

using hessian::DenseOperator;
using hessian::ExtremalEigenvalues;
using hessian::PowerIterationOptions;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

PowerIterationOptions tight() {
  PowerIterationOptions options;
  options.tolerance = 1e-9;
  options.max_iterations = 20000;
  return options;
}

PowerIterationOptions dominant() {
  PowerIterationOptions options = tight();
  options.ends = hessian::Ends::dominant;
  return options;
}

/// Returns the value at the end that was found, [S].
at::Tensor found_value(const ExtremalEigenvalues& ends) {
  return at::where(ends.lambda_max.isnan(), ends.lambda_min, ends.lambda_max);
}

/// Returns the eigenvector of that value, [S, n].
at::Tensor found_vector(const ExtremalEigenvalues& ends) {
  return ends.vector_max + ends.vector_min;  // the other end has the vector zero
}

/// Computes the residual norm of the end that was found, [S].
at::Tensor residual_of_found(const at::Tensor& matrices, const ExtremalEigenvalues& ends) {
  return support::true_residuals(matrices, found_vector(ends).unsqueeze(1), found_value(ends).unsqueeze(1)).squeeze(1);
}

TEST(PowerExtremes, FindsTheEigenvalueOfLargestMagnitudeWithItsSign) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const int64_t n = random.integer(1, 60);
    SCOPED_TRACE("n " + std::to_string(n) + ", seed " + std::to_string(seed));
    at::Tensor values = random.normal({3, n}) / 2;
    const double sign = seed % 2 == 0 ? 1.0 : -1.0;
    values.select(1, 0).copy_(sign * (values.abs().amax(1) + 0.3));  // a gap, so that it converges
    const at::Tensor matrices = random.with_spectrum(values);
    const ExtremalEigenvalues ends = hessian::power_extremes(DenseOperator(matrices), dominant());
    EXPECT_LT(largest(found_value(ends) - values.select(1, 0)), 1e-9);
    EXPECT_TRUE(ends.converged.all().item<bool>());
    EXPECT_LT(largest(ends.residual_norm() - residual_of_found(matrices, ends)), 1e-13);
    EXPECT_LT(largest(found_vector(ends).norm(2, 1) - 1), 1e-13);
  }
}

TEST(PowerExtremes, SaysThatItStallsIfTheTwoLargestMagnitudesAreEqual) {
  Random random(22);
  const at::Tensor matrix =
      random.with_spectrum(at::tensor({2.0, -2.0, 0.5, 0.1, -0.3, 0.0}, at::kDouble).unsqueeze(0));
  PowerIterationOptions options = dominant();
  options.max_iterations = 500;
  const ExtremalEigenvalues ends = hessian::power_extremes(DenseOperator(matrix), options);
  EXPECT_FALSE(ends.converged.item<bool>());
  EXPECT_EQ(ends.iterations.item<int>(), 500);
  EXPECT_GT(ends.residual_norm().item<double>(), 0.1);
  EXPECT_LT(largest(ends.residual_norm() - residual_of_found(matrix, ends)), 1e-12);
  options.ends = hessian::Ends::both;
  EXPECT_FALSE(hessian::power_extremes(DenseOperator(matrix), options).converged.item<bool>());
}

TEST(PowerExtremes, GivesZeroForTheZeroOperator) {
  const DenseOperator op(at::zeros({2, 5, 5}, at::kDouble));
  const ExtremalEigenvalues ends = hessian::power_extremes(op, dominant());
  EXPECT_EQ(largest(found_value(ends)), 0.0);
  EXPECT_EQ(largest(ends.residual_norm()), 0.0);
  EXPECT_TRUE(ends.converged.all().item<bool>());
  EXPECT_LT(largest(found_vector(ends).norm(2, 1) - 1), 1e-13);
  EXPECT_EQ(largest(hessian::power_extremes(op, tight()).spectral_norm()), 0.0);
}

TEST(PowerExtremes, TakesNoMoreProductsOfProblemsThatHaveConverged) {
  Random random(23);
  const at::Tensor easy = at::tensor({1.0, 0.0, 0.0, 0.0}, at::kDouble);
  const at::Tensor hard = at::tensor({1.0, 0.97, -0.5, 0.1}, at::kDouble);
  const at::Tensor matrices = random.with_spectrum(at::stack({hard, easy, hard}));
  const DenseOperator dense(matrices);
  const RecordingOperator op(dense);
  const ExtremalEigenvalues ends = hessian::power_extremes(op, dominant());
  EXPECT_LE(ends.iterations[1].item<int>(), 3);
  EXPECT_GT(ends.iterations[0].item<int>(), 100);
  for (int64_t problem = 0; problem < 3; ++problem) {
    EXPECT_LE(op.products(problem), ends.iterations[problem].item<int>() + 1) << "problem " << problem;
  }
  for (const int64_t problem : {0, 2}) {
    PowerIterationOptions options = dominant();
    options.problem_numbers = {problem};
    const auto alone = hessian::power_extremes(DenseOperator(matrices.narrow(0, problem, 1)), options);
    EXPECT_EQ(alone.iterations.item<int>(), ends.iterations[problem].item<int>());
    EXPECT_NEAR(found_value(alone).item<double>(), found_value(ends)[problem].item<double>(), 1e-12);
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
    PowerIterationOptions options = tight();
    options.tolerance = tolerance;
    const ExtremalEigenvalues result = hessian::power_extremes(DenseOperator(matrices), options);
    const double error = std::max(50 * tolerance * tolerance, 1e-9);  // residual^2 / gap, with gaps of at least 0.1
    EXPECT_LT(largest(result.lambda_max - values.amax(1)), error);
    EXPECT_LT(largest(result.lambda_min - values.amin(1)), error);
    // The limit on iterations is far from being reached, so that both ends have converged.
    EXPECT_TRUE(result.converged.all().item<bool>());
    EXPECT_TRUE((result.residual_norm() <= tolerance * result.spectral_norm()).all().item<bool>());
    EXPECT_LT(result.iterations.max().item<int>(), 2000);
  }
}

TEST(PowerExtremes, StopsAtTheDominantEndIfNoMoreIsRequested) {
  Random random(31);
  for (const double sign : {1.0, -1.0}) {
    const at::Tensor values = sign * at::tensor({-4.0, 3.0, 1.0, 0.5, -0.1}, at::kDouble).unsqueeze(0);
    const DenseOperator op(random.with_spectrum(values));
    const auto ends = hessian::power_extremes(op, dominant());
    EXPECT_NEAR(ends.spectral_norm().item<double>(), 4.0, 1e-9);
    EXPECT_TRUE(ends.converged.item<bool>());
    EXPECT_TRUE(std::isnan((sign > 0 ? ends.lambda_max : ends.lambda_min).item<double>()));
    EXPECT_LT(ends.iterations.item<int>(), hessian::power_extremes(op, tight()).iterations.item<int>());
  }
}

TEST(PowerExtremes, GivesOneEigenvalueTwiceForAMultipleOfTheIdentity) {
  const ExtremalEigenvalues result =
      hessian::power_extremes(DenseOperator(at::eye(6, at::kDouble).unsqueeze(0) * -1.5), tight());
  EXPECT_NEAR(result.lambda_max.item<double>(), -1.5, 1e-12);
  EXPECT_NEAR(result.lambda_min.item<double>(), -1.5, 1e-12);
  EXPECT_TRUE(result.converged.item<bool>());
}

TEST(PowerExtremes, NeverCallsNonFiniteProductsConverged) {
  at::Tensor matrices = Random(25).symmetric(1, 4);
  matrices[0][1][1] = std::numeric_limits<double>::infinity();
  PowerIterationOptions options = tight();
  options.max_iterations = 20;
  for (const hessian::Ends ends : {hessian::Ends::dominant, hessian::Ends::both}) {
    options.ends = ends;
    EXPECT_FALSE(hessian::power_extremes(DenseOperator(matrices), options).converged.item<bool>());
  }
}

TEST(PowerExtremes, RefusesOptionsOutOfRange) {
  const DenseOperator op(Random(26).symmetric(1, 4));
  const auto refusal = [&](const PowerIterationOptions& options) {
    return refusal_of<std::invalid_argument>([&] { hessian::power_extremes(op, options); });
  };
  EXPECT_EQ(refusal({.max_iterations = -1}), "the iteration limit is -1; it must be positive");
  EXPECT_EQ(refusal({.tolerance = 0}), "the tolerance is 0.000000; it must be positive");
}

}  // namespace
}  // namespace hessian::tests
