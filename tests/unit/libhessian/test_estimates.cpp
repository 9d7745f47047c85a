#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>
#include <string>

#include "hessian/dense_operator.h"
#include "hessian/diagonal.h"
#include "hessian/norms.h"
#include "hessian/trace.h"
#include "random_problems.h"
#include "refusal.h"
#include "z_scores.h"

using hessian::DenseOperator;
using hessian::Estimate;
using hessian::HutchinsonSamples;
using hessian::HutchPlusPlusOptions;
using hessian::SampleOptions;
using hessian::TraceEstimate;
using hessian::support::largest;
using hessian::support::numbers_from;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;
using hessian::support::ZScores;

namespace hessian::tests {
namespace {

at::Tensor traces(const at::Tensor& matrices) {
  return matrices.diagonal(0, 1, 2).sum(1);
}

at::Tensor frobenius_norms(const at::Tensor& matrices) {
  return matrices.square().sum({1, 2}).sqrt();
}

SampleOptions with_seed(uint64_t seed, int64_t samples) {
  SampleOptions options;
  options.seed = seed;
  options.samples = samples;
  return options;
}

/// Returns matrices with the eigenvalues k^-2, few of which hold most of the trace.
at::Tensor decaying(int64_t problems, int64_t n, Random& random) {
  return random.with_spectrum(at::arange(1, n + 1, at::kDouble).pow(-2).expand({problems, n}));
}

// 60 draws of each of 4 matrices: the mean square of 240 approximately normal scores has a standard deviation of
// sqrt(2 / 240), about 0.1. Tolerances are three of these, here and in the tests below.
TEST(HutchinsonTrace, IsWithinItsStandardErrors) {
  const at::Tensor matrices = Random(1).symmetric(4, 60) + 0.3 * at::eye(60, at::kDouble);
  const DenseOperator op(matrices);
  ZScores scores;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    scores.add(hessian::hutchinson_trace(op, with_seed(seed, 16)), traces(matrices));
  }
  scores.expect_honest(16, 0.3);
}

TEST(HutchinsonTrace, HasTheVarianceOfRandomSigns) {
  // 2 (||H||_F^2 - sum H_ii^2) per sample. The variance over 2000 samples has a relative error of sqrt(2 / 2000), 3 %; the
  // tolerance is four times that. Normal samples, with 2 ||H||_F^2, would differ by half: the diagonal holds a third of the
  // norm.
  Random random(2);
  const at::Tensor matrices = random.symmetric(2, 30) + at::diag_embed(3 * random.normal({2, 30}));
  const TraceEstimate estimate = hessian::hutchinson_trace(DenseOperator(matrices), with_seed(0, 2000));
  const at::Tensor diagonal = matrices.diagonal(0, 1, 2);
  const at::Tensor expected = 2 * (frobenius_norms(matrices).square() - diagonal.square().sum(1));
  ASSERT_GT((diagonal.square().sum(1) / frobenius_norms(matrices).square()).min().item<double>(), 0.3);
  EXPECT_LT(largest(estimate.standard_error.square() * 2000 / expected - 1), 0.13);
}

TEST(HutchinsonTrace, TakesOneProductPerSampleAndIsExactForDiagonals) {
  const at::Tensor diagonal = Random(3).normal({3, 20});
  const DenseOperator dense(at::diag_embed(diagonal));
  const RecordingOperator op(dense);
  const TraceEstimate estimate = hessian::hutchinson_trace(op, with_seed(5, 7));
  EXPECT_LT(largest(estimate.value - diagonal.sum(1)), 1e-13);
  EXPECT_LT(largest(estimate.standard_error), 1e-13);
  EXPECT_EQ(estimate.products, 7);
  EXPECT_EQ(op.products(2), 7);
}

TEST(HutchPlusPlus, IsExactIfTheRankIsWithinAThirdOfTheProducts) {
  Random random(4);
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    for (const int64_t rank : {0, 1, 5, 8}) {
      SCOPED_TRACE("rank " + std::to_string(rank));
      at::Tensor values = at::zeros({2, 50}, at::kDouble);
      values.narrow(1, 0, rank).copy_(random.normal({2, rank}) * 3);
      const at::Tensor matrices = random.with_spectrum(values).to(dtype);
      const DenseOperator dense(matrices);
      const RecordingOperator op(dense);
      HutchPlusPlusOptions options;
      options.products = 24;
      const TraceEstimate estimate = hessian::hutch_plus_plus_trace(op, options);
      const double rounding = dtype == at::kDouble ? 1e-11 : 1e-4;
      EXPECT_LT(largest(estimate.value - traces(matrices.to(at::kDouble))), rounding);
      EXPECT_LT(largest(estimate.standard_error), rounding);
      EXPECT_EQ(estimate.products, 24);
      EXPECT_EQ(op.products(0), 24);
    }
  }
}

TEST(HutchPlusPlus, IsWithinItsStandardErrorsAndFarBelowHutchinsonsForDecayingSpectra) {
  Random random(5);
  const at::Tensor matrices = decaying(4, 80, random);
  const DenseOperator op(matrices);
  ZScores scores;
  HutchPlusPlusOptions options;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    options.seed = seed;
    scores.add(hessian::hutch_plus_plus_trace(op, options), traces(matrices));
  }
  scores.expect_honest(16, 0.3);
  const at::Tensor plain = hessian::hutchinson_trace(op, with_seed(0, 48)).standard_error;
  EXPECT_LT(hessian::hutch_plus_plus_trace(op, options).standard_error.max().item<double>(),
            plain.min().item<double>() / 5);
}

TEST(HutchPlusPlus, SolvesMatricesSmallerThanItsSketchExactly) {
  for (const int64_t n : {1, 2, 7}) {
    const at::Tensor matrices = Random(6).symmetric(3, n);
    const TraceEstimate estimate = hessian::hutch_plus_plus_trace(DenseOperator(matrices));
    EXPECT_LT(largest(estimate.value - traces(matrices)), 1e-12) << "n " << n;
    EXPECT_EQ(estimate.products, 2 * n + 16);
  }
}

TEST(EstimateDiagonal, IsWithinItsStandardErrorsEntryByEntry) {
  // Entries of one draw are correlated, so that 2 x 30 entries carry less information than 60 independent draws.
  const at::Tensor matrices = Random(7).symmetric(2, 30);
  const DenseOperator op(matrices);
  ZScores scores;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    scores.add(hessian::estimate_diagonal(op, with_seed(seed, 20)), matrices.diagonal(0, 1, 2));
  }
  scores.expect_honest(20, 0.25);
}

TEST(EstimateDiagonal, HasTheVarianceOfTheOtherEntriesOfEachRow) {
  const at::Tensor matrices = Random(8).symmetric(2, 20);
  const Estimate estimate = hessian::estimate_diagonal(DenseOperator(matrices), with_seed(0, 3000));
  const at::Tensor diagonal = matrices.diagonal(0, 1, 2);
  const at::Tensor expected = matrices.square().sum(2) - diagonal.square();
  // A variance from 3000 samples has a relative error of 2.6 %; the largest of 40 is within four times that.
  EXPECT_LT(largest(estimate.standard_error.square() * 3000 / expected - 1), 0.11);
  const at::Tensor exact = Random(9).normal({2, 20});
  const Estimate of_diagonal = hessian::estimate_diagonal(DenseOperator(at::diag_embed(exact)), with_seed(1, 3));
  EXPECT_LT(largest(of_diagonal.value - exact), 1e-14);
  EXPECT_LT(largest(of_diagonal.standard_error), 1e-14);
}

TEST(FrobeniusNorm, IsWithinItsStandardErrors) {
  const at::Tensor matrices = Random(10).symmetric(4, 50);
  const DenseOperator op(matrices);
  ZScores scores;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    scores.add(hessian::frobenius_norm(op, with_seed(seed, 24)), frobenius_norms(matrices));
  }
  scores.expect_honest(24, 0.3);
}

TEST(FrobeniusNorm, IsExactForMultiplesOfTheIdentityAndZero) {
  const at::Tensor matrices = at::eye(9, at::kDouble) * at::tensor({-2.0, 0.0}, at::kDouble).view({2, 1, 1});
  const Estimate estimate = hessian::frobenius_norm(DenseOperator(matrices));
  EXPECT_LT(largest(estimate.value - at::tensor({6.0, 0.0}, at::kDouble)), 1e-14);
  EXPECT_LT(largest(estimate.standard_error), 1e-14);
}

TEST(ParticipationRatio, IsWithinItsStandardErrors) {
  // Semidefinite, with about 12 significant eigenvalues, so that the trace is far from zero, as the delta method requires.
  Random random(11);
  const at::Tensor matrices = random.with_spectrum(at::exp(-at::arange(60, at::kDouble) / 6).expand({4, 60}));
  const at::Tensor exact = traces(matrices).square() / frobenius_norms(matrices).square();
  const DenseOperator op(matrices);
  ZScores scores;
  for (uint64_t seed = 0; seed < 60; ++seed) {
    scores.add(hessian::participation_ratio(op, with_seed(seed, 100)), exact);
  }
  scores.expect_honest(100, 0.3);
}

TEST(ParticipationRatio, CountsEqualEigenvalues) {
  // A scaled projector on 5 coordinates: each sample gives exactly 5.
  at::Tensor diagonal = at::zeros({1, 40}, at::kDouble);
  diagonal.narrow(1, 3, 5).fill_(0.7);
  const Estimate estimate = hessian::participation_ratio(DenseOperator(at::diag_embed(diagonal)));
  EXPECT_NEAR(estimate.value.item<double>(), 5.0, 1e-12);
  EXPECT_NEAR(estimate.standard_error.item<double>(), 0.0, 1e-12);
}

TEST(Estimates, AgreeInFloat32) {
  const at::Tensor matrices = Random(12).symmetric(3, 70);
  const DenseOperator wide(matrices);
  const DenseOperator narrow(matrices.to(at::kFloat));
  const SampleOptions options = with_seed(2, 10);
  const auto expect_close = [](const Estimate& a, const Estimate& b) {
    // Rounding errors, 6e-8 each, of sums of 70 numbers of up to about 50.
    EXPECT_LT(largest(a.value - b.value), 1e-4);
    EXPECT_LT(largest(a.standard_error - b.standard_error), 1e-4);
    EXPECT_EQ(b.value.scalar_type(), at::kDouble);
  };
  expect_close(hessian::hutchinson_trace(wide, options), hessian::hutchinson_trace(narrow, options));
  expect_close(hessian::hutch_plus_plus_trace(wide), hessian::hutch_plus_plus_trace(narrow));
  expect_close(hessian::estimate_diagonal(wide, options), hessian::estimate_diagonal(narrow, options));
  expect_close(hessian::frobenius_norm(wide, options), hessian::frobenius_norm(narrow, options));
}

TEST(Estimates, DoNotDependOnHowTheProblemsAreDividedIntoGroups) {
  const at::Tensor matrices = Random(13).symmetric(5, 30);
  const auto estimates = [](const at::Tensor& problems, std::vector<int64_t> numbers) {
    SampleOptions options = with_seed(4, 6);
    options.problem_numbers = numbers;
    HutchPlusPlusOptions plus_plus;
    plus_plus.problem_numbers = std::move(numbers);
    const DenseOperator op(problems);
    return at::stack({hessian::hutchinson_trace(op, options).value, hessian::frobenius_norm(op, options).value,
                      hessian::participation_ratio(op, options).standard_error,
                      hessian::hutch_plus_plus_trace(op, plus_plus).value,
                      hessian::estimate_diagonal(op, options).value.select(1, 7)});
  };
  const at::Tensor whole = estimates(matrices, {});
  for (int64_t problem = 0; problem < 5; ++problem) {
    const at::Tensor alone = estimates(matrices.narrow(0, problem, 1), numbers_from(problem, 1));
    EXPECT_LT(largest(alone.squeeze(1) - whole.select(1, problem)), 1e-11) << "problem " << problem;
  }
  EXPECT_GT(largest(estimates(matrices.narrow(0, 0, 1), {9}) - whole.narrow(1, 0, 1)), 1e-3);
}

TEST(Estimates, AreNotNumbersForAProblemThatIsNotFiniteAndLeaveTheOthersAsTheyAre) {
  at::Tensor matrices = Random(14).symmetric(3, 8);
  const DenseOperator finite(matrices.clone());
  matrices[1][1][1] = std::numeric_limits<double>::infinity();
  const DenseOperator dense(matrices);
  const auto compare = [&](const auto& estimate) {
    const RecordingOperator op(dense);
    const Estimate expected = estimate(finite);
    const Estimate found = estimate(op);
    EXPECT_TRUE(found.value[1].isnan().all().template item<bool>());
    EXPECT_TRUE(found.standard_error[1].isnan().all().template item<bool>());
    for (const int64_t problem : {0, 2}) {
      EXPECT_LT(largest(found.value[problem] - expected.value[problem]), 1e-12);
      EXPECT_LT(largest(found.standard_error[problem] - expected.standard_error[problem]), 1e-12);
      EXPECT_GT(op.products(problem), 10);
    }
    EXPECT_EQ(op.products(1), 1);
  };
  compare([](const auto& op) { return hessian::hutchinson_trace(op); });
  compare([](const auto& op) { return hessian::hutch_plus_plus_trace(op); });
  compare([](const auto& op) { return hessian::estimate_diagonal(op); });
  compare([](const auto& op) { return hessian::frobenius_norm(op); });
  compare([](const auto& op) { return hessian::participation_ratio(op); });
}

TEST(Estimates, OfOneSetOfProductsAreThoseOfTheirOwn) {
  const DenseOperator dense(Random(16).symmetric(2, 30));
  const RecordingOperator op(dense);
  const SampleOptions options = with_seed(3, 12);
  const HutchinsonSamples samples = hessian::hutchinson_samples(op, options, /*with_diagonal=*/true);
  const auto expect_same = [](const Estimate& a, const Estimate& b) {
    EXPECT_EQ(largest(a.value - b.value), 0.0);
    EXPECT_EQ(largest(a.standard_error - b.standard_error), 0.0);
  };
  expect_same(hessian::hutchinson_trace(samples), hessian::hutchinson_trace(dense, options));
  expect_same(hessian::frobenius_norm(samples), hessian::frobenius_norm(dense, options));
  expect_same(hessian::participation_ratio(samples), hessian::participation_ratio(dense, options));
  expect_same(samples.diagonal, hessian::estimate_diagonal(dense, options));
  EXPECT_EQ(op.products(0), 12);
  EXPECT_FALSE(hessian::hutchinson_samples(dense, options).diagonal.value.defined());
}

TEST(ParticipationRatio, IsUndeterminedIfTheTraceIsWithinTwoStandardErrorsOfZero) {
  // Traces in standard errors; the sign does not matter. The last two are exactly zero and not a number.
  const at::Tensor z = at::tensor({1.9, 2.1, -1.9, -2.1, 0.0, std::numeric_limits<double>::quiet_NaN()}, at::kDouble);
  HutchinsonSamples samples;
  const at::Tensor scatter = at::tensor({1.0, -1.0, 1.0, -1.0}, at::kDouble);
  samples.quadratic = scatter.unsqueeze(0) + z.unsqueeze(1) * scatter.std() / 2;
  samples.squared_norm = at::ones_like(samples.quadratic);
  const at::Tensor determined = hessian::participation_is_determined(samples);
  EXPECT_TRUE(determined.equal(at::tensor({0, 1, 0, 1, 0, 0}).to(at::kBool)));
  samples.quadratic = at::zeros({1, 4}, at::kDouble);  // H = 0
  EXPECT_FALSE(hessian::participation_is_determined(samples).item<bool>());
}

TEST(Estimates, RefuseOptionsOutOfRange) {
  const DenseOperator op(Random(15).symmetric(1, 8));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { hessian::hutchinson_trace(op, with_seed(0, 1)); }),
            "the number of samples is 1; it must be at least 2");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              HutchPlusPlusOptions options;
              options.products = 5;
              hessian::hutch_plus_plus_trace(op, options);
            }),
            "the number of products is 5; it must be at least 6");
  EXPECT_EQ(refusal_of<std::invalid_argument>([] {
              hessian::estimate_diagonal(DenseOperator(at::zeros({0, 4, 4}, at::kDouble)));
            }),
            "the operator has 0 problems of size 4; an estimate needs at least one of each");
}

}  // namespace
}  // namespace hessian::tests
