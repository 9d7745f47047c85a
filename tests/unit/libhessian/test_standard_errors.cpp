#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/diagonal.h"
#include "hessian/norms.h"
#include "hessian/spectral_density.h"
#include "hessian/trace.h"
#include "random_problems.h"

// Compares estimates and their standard errors with formulas over the very vectors that the operator received. With two to
// five samples, a divisor n^2 or n in place of n (n - 1) changes a standard error by a third or more.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;
using support::RecordingOperator;

/// Rounding of sums of a few dozen terms of size 1 in float64.
constexpr double tolerance = 1e-12;

/// Mean m of n samples, and its standard error, sqrt(sum_i (x_i - m)^2 / (n (n - 1))).
struct ByHand {
  double mean = 0;
  double error = 0;

  explicit ByHand(const std::vector<double>& samples) {
    const auto n = static_cast<double>(samples.size());
    for (const double sample : samples) {
      mean += sample / n;
    }
    double squares = 0;
    for (const double sample : samples) {
      squares += (sample - mean) * (sample - mean);
    }
    error = std::sqrt(squares / (n * (n - 1)));
  }
};

void expect_estimate(const at::Tensor& value, const at::Tensor& error, const std::vector<double>& samples,
                     double scale = 1) {
  const ByHand expected(samples);
  EXPECT_NEAR(value.item<double>(), expected.mean, tolerance * scale);
  EXPECT_NEAR(error.item<double>(), expected.error, tolerance * scale);
}

/// Matrices, and the vectors that an estimator multiplied with them.
struct Recorded {
  explicit Recorded(uint64_t seed) : matrices(Random(seed).symmetric(2, 6)) {}

  /// The vector of a call for a problem, [n].
  at::Tensor vector(std::size_t call, int64_t problem) const { return op.vectors().at(call)[problem][0]; }
  at::Tensor product(std::size_t call, int64_t problem) const {
    return at::mv(matrices[problem], vector(call, problem));
  }
  double quadratic(std::size_t call, int64_t problem) const {
    return at::dot(vector(call, problem), product(call, problem)).item<double>();
  }
  double squared_norm(std::size_t call, int64_t problem) const {
    return product(call, problem).square().sum().item<double>();
  }

  at::Tensor matrices;
  DenseOperator dense{matrices};
  RecordingOperator op{dense};
};

constexpr int64_t few[] = {2, 3, 5};

TEST(StandardErrors, AreThoseOfAMeanOfNumbersKnownByHand) {
  // 1, 2, 4: mean 7/3, squares 16/9 + 1/9 + 25/9 = 14/3, standard error sqrt(14/3 / 6) = sqrt(7) / 3.
  const Estimate three = mean_of_samples(at::tensor({1.0, 2.0, 4.0}, at::kDouble).view({1, 3}));
  EXPECT_NEAR(three.value.item<double>(), 7.0 / 3, 1e-15);
  EXPECT_NEAR(three.standard_error.item<double>(), std::sqrt(7.0) / 3, 1e-15);
  // Two samples with a further axis: half of their difference.
  const Estimate two = mean_of_samples(at::tensor({3.0, 10.0, 5.0, 20.0}, at::kDouble).view({1, 2, 2}));
  EXPECT_LT(largest(two.value - at::tensor({4.0, 15.0}, at::kDouble)), 1e-15);
  EXPECT_LT(largest(two.standard_error - at::tensor({1.0, 5.0}, at::kDouble)), 1e-14);
}

TEST(StandardErrors, OfTheDiagonalAreThoseOfItsSamplesEntryByEntry) {
  for (const int64_t samples : few) {
    SCOPED_TRACE(samples);
    const Recorded recorded(1);
    const Estimate estimate = estimate_diagonal(recorded.op, {.samples = samples});
    ASSERT_EQ(recorded.op.vectors().size(), static_cast<std::size_t>(samples));
    for (int64_t problem = 0; problem < 2; ++problem) {
      for (int64_t entry = 0; entry < 6; ++entry) {
        std::vector<double> values;
        for (std::size_t call = 0; call < recorded.op.vectors().size(); ++call) {
          values.push_back(
              (recorded.vector(call, problem)[entry] * recorded.product(call, problem)[entry]).item<double>());
        }
        expect_estimate(estimate.value[problem][entry], estimate.standard_error[problem][entry], values);
      }
    }
  }
}

TEST(StandardErrors, OfTheDiagonalAreHandComputedFor2x2Matrices) {
  // A sample of an entry of [[a, b], [b, c]] is a + b or a - b, depending on whether the signs agree. If m of 3 samples
  // are a + b, the mean is a + (2 m - 3) b / 3; for m = 1 or 2 the squares sum to 8 b^2 / 3, and the error is 2 |b| / 3.
  const at::Tensor matrix = at::tensor({3.0, 0.75, 0.75, -2.0}, at::kDouble).view({1, 2, 2});
  int mixed = 0;
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const Estimate estimate = estimate_diagonal(DenseOperator(matrix), {.samples = 3, .seed = seed});
    const double shift = estimate.value[0][0].item<double>() - 3.0;
    EXPECT_NEAR(estimate.value[0][1].item<double>() + 2.0, shift, 1e-14);
    const bool agree = std::abs(shift) > 0.5;  // otherwise it is b / 3
    EXPECT_NEAR(std::abs(shift), agree ? 0.75 : 0.25, 1e-14);
    EXPECT_NEAR(estimate.standard_error[0][0].item<double>(), agree ? 0.0 : 0.5, 1e-7);
    EXPECT_NEAR(estimate.standard_error[0][1].item<double>(), agree ? 0.0 : 0.5, 1e-7);
    mixed += agree ? 0 : 1;
  }
  EXPECT_GT(mixed, 0) << "no seed gave samples that differ";
}

TEST(StandardErrors, OfHutchinsonsTraceAreThoseOfItsQuadraticForms) {
  for (const int64_t samples : few) {
    SCOPED_TRACE(samples);
    const Recorded recorded(2);
    const TraceEstimate estimate = hutchinson_trace(recorded.op, {.samples = samples});
    ASSERT_EQ(recorded.op.vectors().size(), static_cast<std::size_t>(samples));
    for (int64_t problem = 0; problem < 2; ++problem) {
      std::vector<double> values;
      for (std::size_t call = 0; call < recorded.op.vectors().size(); ++call) {
        EXPECT_EQ(largest(recorded.vector(call, problem).abs() - 1), 0.0);
        values.push_back(recorded.quadratic(call, problem));
      }
      expect_estimate(estimate.value[problem], estimate.standard_error[problem], values, 10);
    }
  }
}

TEST(StandardErrors, OfTheFrobeniusNormFollowFromThoseOfItsSquare) {
  for (const int64_t samples : few) {
    SCOPED_TRACE(samples);
    const Recorded recorded(3);
    const Estimate estimate = frobenius_norm(recorded.op, {.samples = samples});
    ASSERT_EQ(recorded.op.vectors().size(), static_cast<std::size_t>(samples));
    for (int64_t problem = 0; problem < 2; ++problem) {
      std::vector<double> squares;
      for (std::size_t call = 0; call < recorded.op.vectors().size(); ++call) {
        squares.push_back(recorded.squared_norm(call, problem));
      }
      const ByHand square(squares);
      EXPECT_NEAR(estimate.value[problem].item<double>(), std::sqrt(square.mean), tolerance);
      EXPECT_NEAR(estimate.standard_error[problem].item<double>(), square.error / (2 * std::sqrt(square.mean)),
                  tolerance);
    }
  }
}

TEST(StandardErrors, OfTheParticipationRatioFollowFromTheCovarianceOfBothTraces) {
  for (const int64_t samples : few) {
    SCOPED_TRACE(samples);
    const Recorded recorded(4);
    const Estimate estimate = participation_ratio(recorded.op, {.samples = samples});
    ASSERT_EQ(recorded.op.vectors().size(), static_cast<std::size_t>(samples));
    const auto n = static_cast<double>(samples);
    for (int64_t problem = 0; problem < 2; ++problem) {
      std::vector<double> traces;
      std::vector<double> squares;
      for (std::size_t call = 0; call < recorded.op.vectors().size(); ++call) {
        traces.push_back(recorded.quadratic(call, problem));
        squares.push_back(recorded.squared_norm(call, problem));
      }
      const ByHand t(traces);
      const ByHand f(squares);
      double covariance = 0;
      for (std::size_t i = 0; i < traces.size(); ++i) {
        covariance += (traces[i] - t.mean) * (squares[i] - f.mean) / (n * (n - 1));
      }
      // For r = t^2 / f: dr = a dt - b df with a = 2 t / f and b = (t / f)^2.
      const double a = 2 * t.mean / f.mean;
      const double b = t.mean * t.mean / (f.mean * f.mean);
      const double variance = a * a * t.error * t.error + b * b * f.error * f.error - 2 * a * b * covariance;
      EXPECT_NEAR(estimate.value[problem].item<double>(), t.mean * t.mean / f.mean, tolerance);
      EXPECT_NEAR(estimate.standard_error[problem].item<double>(), std::sqrt(variance), 1e-9);
    }
  }
}

TEST(StandardErrors, OfHutchPlusPlusAreThoseOfTheRemainder) {
  for (const int64_t third : few) {
    SCOPED_TRACE(third);
    const Recorded recorded(5);
    // Two more products than thirds: they are not enough for another sample, and not used.
    const TraceEstimate estimate = hutch_plus_plus_trace(recorded.op, {.products = 3 * third + 2});
    // First the sketch H G, then the basis Q of its range, then samples outside Q.
    const auto count = static_cast<std::size_t>(third);
    ASSERT_EQ(recorded.op.vectors().size(), 3 * count);
    EXPECT_EQ(estimate.products, 3 * third);
    for (int64_t problem = 0; problem < 2; ++problem) {
      std::vector<at::Tensor> sketch;
      std::vector<at::Tensor> basis;
      double exact_term = 0;
      for (std::size_t i = 0; i < count; ++i) {
        sketch.push_back(recorded.product(i, problem));
        basis.push_back(recorded.vector(count + i, problem));
        exact_term += recorded.quadratic(count + i, problem);
      }
      const at::Tensor q = at::stack(basis);
      EXPECT_LT(largest(at::mm(q, q.t()) - at::eye(third, at::kDouble)), tolerance);
      const at::Tensor products = at::stack(sketch);
      EXPECT_LT(largest(products - at::mm(at::mm(products, q.t()), q)), tolerance) << "Q does not span the sketch";
      std::vector<double> remainders;
      for (std::size_t i = 2 * count; i < 3 * count; ++i) {
        const at::Tensor outside = recorded.vector(i, problem);
        EXPECT_LT(largest(at::mv(q, outside)), tolerance);
        EXPECT_GT(largest(outside), 0.01);
        remainders.push_back(recorded.quadratic(i, problem));
      }
      const ByHand remainder(remainders);
      EXPECT_NEAR(estimate.value[problem].item<double>(), exact_term + remainder.mean, 10 * tolerance);
      EXPECT_NEAR(estimate.standard_error[problem].item<double>(), remainder.error, 10 * tolerance);
    }
  }
}

/// Returns quadratures of a matrix of size 10 from three samples, of which the second has one node.
SpectralQuadrature quadrature_by_hand() {
  const double absent = std::numeric_limits<double>::quiet_NaN();
  SpectralQuadrature quadrature;
  quadrature.nodes = at::tensor({1.0, 3.0, 2.0, absent, -1.0, 2.5}, at::kDouble).view({1, 3, 2});
  quadrature.weights = at::tensor({0.25, 0.75, 1.0, 0.0, 0.5, 0.5}, at::kDouble).view({1, 3, 2});
  quadrature.dim = 10;
  return quadrature;
}

TEST(StandardErrors, OfSpectralMomentsAreThoseOfTheSamplesQuadratures) {
  const SpectralQuadrature quadrature = quadrature_by_hand();
  const auto expect_moment = [&](int power, const std::vector<double>& samples) {
    const Estimate moment = spectral_moment(quadrature, power);
    expect_estimate(moment.value[0], moment.standard_error[0], samples, 100);
  };
  expect_moment(0, {10, 10, 10});
  expect_moment(1, {25, 20, 7.5});
  expect_moment(2, {70, 40, 36.25});
  expect_moment(3, {205, 80, 73.125});
}

TEST(StandardErrors, OfADensityAreThoseOfTheSamplesGaussians) {
  const SpectralDensity density =
      spectral_density(quadrature_by_hand(), {.grid_points = 201, .relative_width = 0.05, .relative_zero = 0.4});
  constexpr double width = 0.2;  // 0.05 of the range from -1 to 3
  EXPECT_NEAR(density.width.item<double>(), width, 1e-15);
  const auto gaussian = [](double distance) {
    return std::exp(-distance * distance / (2 * width * width)) / (width * std::sqrt(2 * M_PI));
  };
  for (int64_t i = 0; i < 201; ++i) {
    const double t = -1.8 + static_cast<double>(i) * (5.6 / 200);
    EXPECT_NEAR(density.grid[0][i].item<double>(), t, 1e-13);
    expect_estimate(density.density.value[0][i], density.density.standard_error[0][i],
                    {0.25 * gaussian(t - 1) + 0.75 * gaussian(t - 3), gaussian(t - 2),
                     0.5 * gaussian(t + 1) + 0.5 * gaussian(t - 2.5)},
                    10);
  }
  // Magnitudes up to 0.4 * 3 = 1.2 count as zero.
  EXPECT_NEAR(density.zero_threshold.item<double>(), 1.2, 1e-15);
  expect_estimate(density.mass_near_zero.value[0], density.mass_near_zero.standard_error[0], {0.25, 0, 0.5});
}

}  // namespace
}  // namespace hessian::tests
