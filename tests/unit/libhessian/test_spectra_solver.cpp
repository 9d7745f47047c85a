#include "hessian/spectra_solver.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "refusal.h"
#include "true_residuals.h"

using hessian::DenseOperator;
using hessian::ExtremalEigenvalues;
using hessian::LanczosOptions;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

LanczosOptions tight() {
  LanczosOptions options;
  options.tolerance = 1e-10;
  options.max_iterations = 3000;
  return options;
}

// Spectra cannot have fewer than three dimensions, and its basis has to be larger than the two pairs.
TEST(SpectraExtremes, SolvesTheSmallestMatrices) {
  for (int64_t n = 1; n <= 5; ++n) {
    SCOPED_TRACE("n " + std::to_string(n) + ", seed " + std::to_string(n));
    const at::Tensor matrices = Random(static_cast<uint64_t>(n)).symmetric(6, n);
    const ExtremalEigenvalues result = hessian::spectra_extremes(DenseOperator(matrices), tight());
    const at::Tensor exact = support::dense_eigenvalues(matrices);
    EXPECT_LT(largest(result.lambda_max - exact.amax(1)), 1e-12);
    EXPECT_LT(largest(result.lambda_min - exact.amin(1)), 1e-12);
    EXPECT_TRUE(result.converged.all().item<bool>());
  }
}

TEST(SpectraExtremes, AgreesWithTheDenseSolverBeyondItsBasis) {
  for (const int64_t n : {40, 100, 250}) {
    SCOPED_TRACE("n " + std::to_string(n) + ", seed " + std::to_string(n));
    Random random(static_cast<uint64_t>(n));
    const at::Tensor matrices = random.symmetric(3, n);
    LanczosOptions options = tight();
    options.max_basis = 20;
    const ExtremalEigenvalues result = hessian::spectra_extremes(DenseOperator(matrices), options);
    const at::Tensor exact = support::dense_eigenvalues(matrices);
    EXPECT_LT(largest(result.lambda_max - exact.amax(1)), 1e-9 * largest(exact));
    EXPECT_LT(largest(result.lambda_min - exact.amin(1)), 1e-9 * largest(exact));
    EXPECT_TRUE(result.converged.all().item<bool>());
    const at::Tensor residuals =
        support::true_residuals(matrices, result.vector_max.unsqueeze(1), result.lambda_max.unsqueeze(1)).squeeze(1);
    EXPECT_LT(largest(result.residual_max - residuals), 1e-12);
  }
}

// Spectra itself uses a tolerance relative to each eigenvalue, and absolute thresholds.
TEST(SpectraExtremes, SolvesSingularLowRankAndTinyMatrices) {
  Random random(3);
  for (const double scale : {1.0, 1e-12, 1e12}) {
    for (const int64_t rank : {0, 1, 2, 30}) {
      SCOPED_TRACE("rank " + std::to_string(rank) + " times " + std::to_string(scale) + ", seed 3");
      at::Tensor values = at::zeros({1, 50}, at::kDouble);
      values.narrow(1, 0, rank).copy_(random.normal({1, rank}).abs() * scale);
      const at::Tensor matrix = random.with_spectrum(values);
      const ExtremalEigenvalues result = hessian::spectra_extremes(DenseOperator(matrix), tight());
      EXPECT_NEAR(result.lambda_max.item<double>(), values.max().item<double>(), 1e-10 * largest(values));
      EXPECT_NEAR(result.lambda_min.item<double>(), 0.0, 1e-10 * largest(values));
      EXPECT_TRUE(result.converged.item<bool>());
    }
  }
}

TEST(SpectraExtremes, SaysThatItHasNotConvergedAndGivesTheBestOfItsKrylovSpace) {
  const at::Tensor matrices = Random(4).symmetric(2, 300);
  const at::Tensor exact = support::dense_eigenvalues(matrices);
  const double norm = largest(exact);
  for (const int64_t iterations : {1, 5, 20, 40}) {
    SCOPED_TRACE(iterations);
    LanczosOptions options = tight();
    options.max_iterations = iterations;
    const DenseOperator dense(matrices);
    const RecordingOperator op(dense);
    const ExtremalEigenvalues result = hessian::spectra_extremes(op, options);
    EXPECT_FALSE(result.converged.any().item<bool>());
    // Two more products verify the residuals. A basis has at least four vectors; one product finds the scale, and Spectra
    // starts with one.
    EXPECT_EQ(op.products(0), result.iterations[0].item<int>() + 2);
    EXPECT_LE(result.iterations[0].item<int>(), std::max<int64_t>(iterations, 6));
    EXPECT_TRUE((result.lambda_max <= exact.amax(1) + 1e-9).all().item<bool>());
    EXPECT_TRUE((result.lambda_min >= exact.amin(1) - 1e-9).all().item<bool>());
    if (iterations >= 20) {
      EXPECT_LT(largest(result.lambda_max - exact.amax(1)), 0.1 * norm);
      EXPECT_LT(largest(result.lambda_min - exact.amin(1)), 0.1 * norm);
    }
  }
}

TEST(SpectraExtremes, NeverCallsNonFiniteProductsConverged) {
  at::Tensor matrices = Random(5).symmetric(2, 12);
  matrices[1][3][3] = std::numeric_limits<double>::quiet_NaN();
  const ExtremalEigenvalues result = hessian::spectra_extremes(DenseOperator(matrices), tight());
  EXPECT_TRUE(result.converged[0].item<bool>());
  EXPECT_FALSE(result.converged[1].item<bool>());
  EXPECT_TRUE(result.lambda_max[1].isnan().item<bool>());
  EXPECT_TRUE(result.residual_norm()[1].isnan().item<bool>());
  EXPECT_EQ(result.iterations[1].item<int>(), 1);
}

/// An operator whose products are NaN from a given one on.
class FailingOperator final : public hessian::LinearOperator {
 public:
  FailingOperator(const hessian::LinearOperator& op, int64_t good_products) : op_(op), good_products_(good_products) {}
  int64_t problems() const override { return op_.problems(); }
  int64_t dim() const override { return op_.dim(); }
  at::TensorOptions vector_options() const override { return op_.vector_options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const hessian::ProblemIndices& problems) const override {
    const at::Tensor products = op_.apply(v, problems);
    return good_products_-- > 0 ? products : at::full_like(products, std::numeric_limits<double>::quiet_NaN());
  }

  const hessian::LinearOperator& op_;
  mutable int64_t good_products_;
};

TEST(SpectraExtremes, GivesUpAtTheFirstProductThatIsNotFinite) {
  for (const int64_t n : {3, 40}) {
    const DenseOperator dense(Random(8).symmetric(1, n));
    for (const int64_t good : {0, 1, 2, 9}) {
      if (n == 3 && good > 2) {
        continue;  // solved with three products, those of the residuals included
      }
      SCOPED_TRACE(std::to_string(n) + ", " + std::to_string(good));
      const FailingOperator op(dense, good);
      const ExtremalEigenvalues result = hessian::spectra_extremes(op, tight());
      EXPECT_FALSE(result.converged.item<bool>());
      EXPECT_TRUE(result.residual_norm().isnan().item<bool>());
      if (n > 3) {
        EXPECT_TRUE(result.spectral_norm().isnan().item<bool>());
        EXPECT_EQ(result.iterations.item<int>(), good + 1);
      }
    }
  }
}

TEST(SpectraExtremes, TakesFloat32OperatorsAtTheirPrecision) {
  const at::Tensor matrices = Random(6).symmetric(2, 80).to(at::kFloat);
  LanczosOptions options = tight();
  options.tolerance = 1e-5;
  const ExtremalEigenvalues result = hessian::spectra_extremes(DenseOperator(matrices), options);
  const at::Tensor exact = support::dense_eigenvalues(matrices);
  // The rounding errors of sums of 80 terms in float32, 6e-8 each.
  EXPECT_LT(largest(result.lambda_max - exact.amax(1)), 1e-5 * largest(exact));
  EXPECT_LT(largest(result.lambda_min - exact.amin(1)), 1e-5 * largest(exact));
  EXPECT_EQ(result.vector_max.scalar_type(), at::kFloat);
  EXPECT_TRUE(result.converged.all().item<bool>());
}

TEST(SpectraExtremes, RefusesOptionsOutOfRange) {
  const DenseOperator op(Random(7).symmetric(1, 6));
  LanczosOptions options;
  options.tolerance = -1;
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { hessian::spectra_extremes(op, options); }),
            "the tolerance is -1.000000; it must be positive");
}

}  // namespace
}  // namespace hessian::tests
