#include <gtest/gtest.h>

#include <ATen/CPUGeneratorImpl.h>
#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "counting_operator.h"
#include "hessian/dense_operator.h"
#include "matrices_with.h"
#include "spectrum/estimates.h"
#include "spectrum/spectrum.h"

// Estimates small dense matrices instead of a model's curvature. For most quantities there is a matrix for which the estimate
// is exact, so that a fault in options, chunks, ends or seeds shows without statistics.

namespace hessian::tests {
namespace {

using experiments::CurvatureMatrix;
using experiments::GroupSpectrum;
using experiments::SpectrumGroup;
using experiments::SpectrumOptions;
using experiments::TraceMethod;
using support::Count;
using support::CountingOperator;

constexpr int64_t problems = 3;
constexpr int64_t dim = 12;

/// Returns symmetric matrices with these eigenvalues [..., n].
at::Tensor matrices_with(const at::Tensor& eigenvalues) {
  return support::matrices_with(eigenvalues, 5);
}

struct Estimation {
  at::Tensor matrices;             ///< [S, n, n]
  int64_t at_once = problems;      ///< matrices per chunk
  std::vector<int64_t> numbers{};  ///< of the matrices in the group; empty: 0, 1, 2, ...
  int64_t max_basis = dim;
};

GroupSpectrum estimate(const SpectrumOptions& options, const Estimation& of, Count* counted = nullptr) {
  const int64_t count = of.matrices.size(0);
  std::vector<int64_t> numbers = of.numbers;
  if (numbers.empty()) {
    numbers.resize(static_cast<std::size_t>(count));
    std::iota(numbers.begin(), numbers.end(), int64_t{0});
  }
  Count unused;
  Count* const counter = counted != nullptr ? counted : &unused;
  const SpectrumGroup group{"group", "a test's matrices", count, of.matrices.size(1)};
  return experiments::estimate_group(options, group, of.max_basis, [&](const auto& visit) {
    for (int64_t first = 0; first < count; first += of.at_once) {
      const int64_t of_chunk = std::min(of.at_once, count - first);
      visit({std::make_shared<CountingOperator>(of.matrices.narrow(0, first, of_chunk), counter),
             {numbers.begin() + first, numbers.begin() + first + of_chunk}});
    }
  });
}

SpectrumOptions top_options(int64_t top) {
  SpectrumOptions options;
  options.top = top;
  options.probe.tolerance = 1e-10;
  options.probe.max_iterations = 500;
  return options;
}

SpectrumOptions trace_options(TraceMethod method = TraceMethod::hutchinson) {
  SpectrumOptions options;
  options.trace = method;
  return options;
}

SpectrumOptions diagonal_options() {
  SpectrumOptions options;
  options.diagonal = true;
  return options;
}

/// Returns matrices [S, n, n] with the eigenvalues s + 1 times -3, -2, -1, 0, ..., 8.
at::Tensor known_matrices() {
  const at::Tensor eigenvalues = at::arange(-3, dim - 3, at::kDouble);
  return matrices_with(at::arange(1, problems + 1, at::kDouble).unsqueeze(1) * eigenvalues);
}

at::Tensor scaled_rows(std::initializer_list<double> values) {
  return at::arange(1, problems + 1, at::kDouble).unsqueeze(1) * at::tensor(std::vector<double>(values), at::kDouble);
}

bool close(const at::Tensor& a, const at::Tensor& b, double tolerance = 1e-8) {
  return a.sizes() == b.sizes() && at::allclose(a, b.to(at::kDouble), tolerance, tolerance);
}

TEST(EndsOfMatrices, AreTheOutermostEigenvaluesFromTheOutsideIn) {
  for (const int64_t at_once : {1, 2, 3}) {
    const GroupSpectrum found = estimate(top_options(2), {known_matrices(), at_once});
    EXPECT_TRUE(close(found.upper->values, scaled_rows({8, 7})));
    EXPECT_TRUE(close(found.lower->values, scaled_rows({-3, -2})));
    EXPECT_TRUE((found.upper->converged == 1).all().item<bool>() && (found.lower->converged == 1).all().item<bool>());
    EXPECT_FALSE(found.upper->vectors.defined()) << "not requested";
    EXPECT_FALSE(found.trace || found.diagonal || found.density) << "not requested";
  }
}

TEST(EndsOfMatrices, HaveALowerEndForHessiansOnly) {
  for (const auto matrix : {CurvatureMatrix::hessian, CurvatureMatrix::fd_hessian, CurvatureMatrix::ggn,
                            CurvatureMatrix::fisher, CurvatureMatrix::mc_fisher}) {
    const bool is_hessian = matrix == CurvatureMatrix::hessian || matrix == CurvatureMatrix::fd_hessian;
    SpectrumOptions options = top_options(1);
    options.matrix = matrix;
    Count count;
    const GroupSpectrum found = estimate(options, {known_matrices()}, &count);
    EXPECT_TRUE(close(found.upper->values, scaled_rows({8})));
    EXPECT_EQ(found.lower.has_value(), is_hessian);
    // One product for the residual of each pair.
    const auto residuals = count.products - found.iterations.sum().item<int64_t>();
    EXPECT_EQ(residuals, is_hessian ? 2 * problems : problems) << "the lower end was not requested";
  }
}

TEST(EndsOfMatrices, HaveTheVectorsOfTheirValues) {
  SpectrumOptions options = top_options(2);
  options.vectors = true;
  const at::Tensor matrices = known_matrices();
  const GroupSpectrum found = estimate(options, {matrices, 2});
  for (const auto& end : {*found.upper, *found.lower}) {
    ASSERT_EQ(end.vectors.sizes(), at::IntArrayRef({problems, 2, dim}));
    const at::Tensor products = at::matmul(end.vectors, matrices);
    EXPECT_TRUE(close(products, end.values.unsqueeze(2) * end.vectors, 1e-7));
    EXPECT_TRUE(close(end.vectors.norm(2, {2}), at::ones({problems, 2})));
  }
}

TEST(EndsOfMatrices, AreNoMoreThanTheMatrixHas) {
  SpectrumOptions options = top_options(dim + 5);
  options.block_width = dim + 1;
  const GroupSpectrum found = estimate(options, {known_matrices(), problems, {}, dim + 7});
  ASSERT_EQ(found.upper->values.sizes(), at::IntArrayRef({problems, dim}));
  EXPECT_TRUE(close(found.upper->values[0], at::arange(8, -4, -1, at::kDouble)));
  EXPECT_TRUE(close(found.lower->values[0], at::arange(-3, 9, at::kDouble)));
}

TEST(EndsOfMatrices, AreFoundWithAsManyVectorsPerProductAsTheBlockIsWide) {
  at::Tensor eigenvalues = at::arange(dim, at::kDouble);
  eigenvalues.narrow(0, dim - 3, 3).fill_(20);  // threefold
  const at::Tensor matrix = matrices_with(eigenvalues.unsqueeze(0));
  SpectrumOptions options = top_options(3);
  for (const int64_t block_width : {1, 2, 3}) {
    options.block_width = block_width;
    Count count;
    const GroupSpectrum found = estimate(options, {matrix}, &count);
    EXPECT_EQ(count.first_width, block_width);
    EXPECT_TRUE(block_width < 3 || close(found.upper->values[0], at::tensor({20, 20, 20})));
  }
}

TEST(EndsOfMatrices, ObeyToleranceLimitAndBasis) {
  const at::Tensor matrices = matrices_with(at::linspace(-1, 1, 60, at::kDouble).expand({2, 60}));
  const auto found_with = [&](double tolerance, int64_t max_iterations, int64_t max_basis) {
    SpectrumOptions options = top_options(2);
    options.probe.tolerance = tolerance;
    options.probe.max_iterations = max_iterations;
    return estimate(options, {matrices, 1, {}, max_basis});
  };
  const GroupSpectrum exact = found_with(1e-10, 500, 60);
  EXPECT_TRUE((exact.upper->converged == 1).all().item<bool>());
  EXPECT_LE(exact.upper->residuals.max().item<double>(), 1e-10);
  const GroupSpectrum rough = found_with(1e-1, 500, 60);
  EXPECT_LT(rough.iterations.max().item<double>(), exact.iterations.min().item<double>());
  EXPECT_LE(rough.upper->residuals.max().item<double>(), 1e-1);
  const GroupSpectrum cut = found_with(1e-10, 7, 60);
  EXPECT_LE(cut.iterations.max().item<double>(), 7);
  EXPECT_TRUE((cut.upper->converged == 0).all().item<bool>() && (cut.lower->converged == 0).all().item<bool>());
  EXPECT_GT(cut.upper->residuals.min().item<double>(), 1e-10);
  const GroupSpectrum restarted = found_with(1e-10, 500, 8);
  EXPECT_GT(restarted.iterations.min().item<double>(), exact.iterations.max().item<double>());
}

// One sample of a diagonal matrix gives its trace, norm and diagonal exactly.
TEST(TracesOfMatrices, AreExactForDiagonalMatrices) {
  const at::Tensor diagonal = scaled_rows({1, -2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 1});
  SpectrumOptions options = trace_options();
  options.diagonal = true;
  for (const int64_t at_once : {1, 2, 3}) {
    const GroupSpectrum found = estimate(options, {at::diag_embed(diagonal), at_once});
    const at::Tensor scale = at::arange(1, problems + 1, at::kDouble);
    EXPECT_TRUE(close(found.trace->value, 7 * scale));
    EXPECT_TRUE(close(found.frobenius_norm->value, std::sqrt(31.0) * scale));
    EXPECT_TRUE(close(found.effective_rank->value, at::full({problems}, 49.0 / 31, at::kDouble)));
    EXPECT_TRUE(close(found.diagonal->value, diagonal));
    for (const Estimate& exact : {*found.trace, *found.frobenius_norm, *found.effective_rank, *found.diagonal}) {
      EXPECT_LT(exact.standard_error.max().item<double>(), 1e-7);
    }
    EXPECT_FALSE(found.upper || found.density) << "not requested";
  }
}

// Of rank 3, which a third of 8 products captures only if there are at least 9.
TEST(TracesOfMatrices, ByHutchPlusPlusAreExactForALowRank) {
  at::Tensor eigenvalues = at::zeros({problems, dim}, at::kDouble);
  eigenvalues.narrow(1, 0, 3).copy_(scaled_rows({5, 3, -1}));
  SpectrumOptions options = trace_options(TraceMethod::hutch_plus_plus);
  options.samples = 3;  // 12 products
  const GroupSpectrum found = estimate(options, {matrices_with(eigenvalues)});
  EXPECT_TRUE(close(found.trace->value, 7 * at::arange(1, problems + 1, at::kDouble), 1e-7));
  EXPECT_LT(found.trace->standard_error.max().item<double>(), 1e-7);
  // Hutchinson's estimator is not exact, and says so.
  options.trace = TraceMethod::hutchinson;
  EXPECT_GT(estimate(options, {matrices_with(eigenvalues)}).trace->standard_error.min().item<double>(), 1e-2);
}

TEST(TracesOfMatrices, ShareFourProductsPerSample) {
  const auto products_of = [](const SpectrumOptions& options) {
    Count count;
    estimate(options, {known_matrices()}, &count);
    return count.products / problems;
  };
  SpectrumOptions options = trace_options();
  options.samples = 5;
  EXPECT_EQ(products_of(options), 20);  // for trace, norm and rank together
  options.trace = TraceMethod::hutch_plus_plus;
  const int64_t with_hutch_plus_plus = products_of(options);
  EXPECT_LE(with_hutch_plus_plus, 20 + 20);
  EXPECT_GE(with_hutch_plus_plus, 20 + 20 - 2);  // three equal parts of 20, rounded down
  options.samples = 1;                           // 4 samples, and at least 6 products of Hutch++
  EXPECT_EQ(products_of(options), 6 + 4);
  options = trace_options();
  options.samples = 5;
  options.diagonal = true;
  EXPECT_EQ(products_of(options), 20) << "the diagonal takes no more";
  options = diagonal_options();
  options.samples = 5;
  EXPECT_EQ(products_of(options), 20);
}

SpectrumOptions density_options(int64_t samples, int64_t steps) {
  SpectrumOptions options;
  options.density = true;
  options.samples = samples;
  options.steps = steps;
  return options;
}

TEST(DensityOfMatrices, TakesTheSamplesAndStepsThatAreRequested) {
  Count count;
  const GroupSpectrum found = estimate(density_options(5, 4), {known_matrices(), 2}, &count);
  EXPECT_EQ(count.products, problems * 5 * 4);
  EXPECT_EQ(found.density->quadrature.nodes.sizes(), at::IntArrayRef({problems * 5, 4}));
  EXPECT_EQ(found.density->quadrature.weights.sizes(), at::IntArrayRef({problems * 5, 4}));
  EXPECT_EQ(estimate(density_options(5, dim + 9), {known_matrices()}).density->quadrature.nodes.size(1), dim);
}

TEST(DensityOfMatrices, IsTheMeanOverAllMatricesOfTheGroup) {
  // Multiples of the identity are exact with one step: a third of all eigenvalues each is at -2, 0 and 4.
  const at::Tensor scale = at::tensor({-2.0, 0.0, 4.0}, at::kDouble).view({problems, 1, 1});
  for (const int64_t at_once : {1, 2, 3}) {
    const GroupSpectrum found = estimate(density_options(2, 1), {scale * at::eye(dim, at::kDouble), at_once});
    const at::Tensor grid = found.density->grid.flatten();
    const at::Tensor density = found.density->density.value.flatten();
    const double spacing = (grid[1] - grid[0]).item<double>();
    const auto mass = [&](double low, double high) {
      return (density * ((grid > low) * (grid < high))).sum().item<double>() * spacing;
    };
    EXPECT_NEAR(mass(-3, -1), 1.0 / 3, 1e-3);
    EXPECT_NEAR(mass(-1, 1), 1.0 / 3, 1e-3);
    EXPECT_NEAR(mass(3, 5), 1.0 / 3, 1e-3);
    EXPECT_NEAR(found.density->mass_near_zero.value.item<double>(), 1.0 / 3, 1e-12);
    EXPECT_EQ(grid.size(0), 401);
    EXPECT_LT(found.density->width.item<double>(), 0.1);
  }
}

/// Returns everything that depends on random samples, as one vector per matrix, [S, ...].
std::vector<at::Tensor> sampled(const Estimation& of, uint64_t seed) {
  SpectrumOptions options = trace_options();
  options.diagonal = options.density = true;
  options.samples = 2;
  options.steps = 3;
  options.top = 1;
  options.vectors = true;
  options.probe.max_iterations = 3;
  options.probe.seed = seed;
  const GroupSpectrum found = estimate(options, of);
  SpectrumOptions plus = trace_options(TraceMethod::hutch_plus_plus);
  plus.probe.seed = seed;
  plus.samples = 2;
  const int64_t count = of.matrices.size(0);
  return {found.trace->value,
          found.trace->standard_error,
          estimate(plus, of).trace->value,
          found.frobenius_norm->value,
          found.effective_rank->value,
          found.diagonal->value,
          found.upper->values.squeeze(1),
          found.lower->values.squeeze(1),
          found.density->quadrature.nodes.view({count, -1})};
}

TEST(SamplesOfMatrices, DependOnSeedAndNumberOfTheMatrixAndNotOnItsChunk) {
  const at::Tensor same = matrices_with(at::linspace(-1, 2, dim, at::kDouble)).expand({problems, dim, dim});
  const auto whole = sampled({same}, 7);
  const auto in_chunks = sampled({same, 1}, 7);
  const auto reversed = sampled({same, 2, {2, 1, 0}}, 7);
  const auto other_seed = sampled({same}, 8);
  for (std::size_t i = 0; i < whole.size(); ++i) {
    SCOPED_TRACE("quantity " + std::to_string(i));
    EXPECT_TRUE(close(in_chunks[i], whole[i]));
    EXPECT_TRUE(close(reversed[i], whole[i].flip({0})));
    EXPECT_FALSE(close(other_seed[i], whole[i], 1e-6));
    EXPECT_FALSE(close(whole[i][0], whole[i][1], 1e-6)) << "two matrices have the same samples";
  }
}

TEST(SamplesOfMatrices, OfPermutedMatricesWithTheirNumbersGivePermutedEstimates) {
  const at::Tensor matrices = known_matrices();
  const auto expected = sampled({matrices}, 7);
  for (const std::vector<int64_t>& order : {std::vector<int64_t>{2, 1, 0}, std::vector<int64_t>{1, 2, 0}}) {
    const at::Tensor places = at::tensor(order);
    const auto permuted = sampled({matrices.index_select(0, places), 2, order}, 7);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_TRUE(close(permuted[i], expected[i].index_select(0, places))) << "quantity " << i;
    }
  }
}

TEST(ResultsOfMatrices, AreInTheUnitOfTheMatricesAndInDoublePrecision) {
  SpectrumOptions options = trace_options();
  options.top = 1;
  options.diagonal = options.density = true;
  options.steps = dim;
  const at::Tensor matrices = known_matrices().to(at::kFloat);
  const GroupSpectrum one = estimate(options, {matrices});
  const GroupSpectrum scaled = estimate(options, {1024 * matrices});
  const auto expect_scaled = [](const at::Tensor& large, const at::Tensor& small, double factor, const char* what) {
    EXPECT_EQ(large.scalar_type(), at::kDouble) << what;
    EXPECT_TRUE(close(large, factor * small, 1e-3)) << what;
  };
  expect_scaled(scaled.upper->values, one.upper->values, 1024, "upper end");
  expect_scaled(scaled.lower->values, one.lower->values, 1024, "lower end");
  expect_scaled(scaled.trace->value, one.trace->value, 1024, "trace");
  expect_scaled(scaled.trace->standard_error, one.trace->standard_error, 1024, "error of the trace");
  expect_scaled(scaled.frobenius_norm->value, one.frobenius_norm->value, 1024, "Frobenius norm");
  expect_scaled(scaled.effective_rank->value, one.effective_rank->value, 1, "effective rank");
  expect_scaled(scaled.diagonal->value, one.diagonal->value, 1024, "diagonal");
  expect_scaled(scaled.density->grid, one.density->grid, 1024, "grid of the density");
}

}  // namespace
}  // namespace hessian::tests
