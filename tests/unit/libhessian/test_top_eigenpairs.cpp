#include "hessian/top_eigenpairs.h"

#include <Spectra/MatOp/DenseSymMatProd.h>
#include <Spectra/SymEigsSolver.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <stdexcept>
#include <string>

#include "hessian/dense_operator.h"
#include "hessian/lanczos.h"
#include "random_problems.h"
#include "refusal.h"
#include "true_residuals.h"

using hessian::DenseOperator;
using hessian::Ends;
using hessian::TopEigenpairs;
using hessian::TopEigenpairsOptions;
using hessian::support::largest;
using hessian::support::numbers_from;
using hessian::support::Random;
using hessian::support::RecordingOperator;
using hessian::support::refusal_of;
using hessian::support::spectra_of_size;
using hessian::support::Spectrum;
using hessian::support::true_residuals;

namespace hessian::tests {
namespace {

/// Selects the eigenvalues at the requested ends from all of them, [S, n] in ascending order.
at::Tensor wanted_of(const at::Tensor& ascending, Ends ends, int64_t count) {
  const at::Tensor upper = ascending.flip(1).narrow(1, 0, count);
  const at::Tensor lower = ascending.narrow(1, 0, count);
  switch (ends) {
    case Ends::upper:
      return upper;
    case Ends::lower:
      return lower;
    case Ends::both:
      return at::cat({upper, lower}, 1);
    case Ends::dominant:
      return ascending.gather(1, ascending.abs().argsort(1, /*descending=*/true)).narrow(1, 0, count);
  }
  return {};
}

double distance_from_orthonormal(const at::Tensor& vectors) {
  const at::Tensor v = vectors.to(at::kDouble);
  return largest(at::matmul(v, v.transpose(1, 2)) - at::eye(v.size(1), at::kDouble));
}

TopEigenpairsOptions tight(int64_t count, Ends ends = Ends::both) {
  TopEigenpairsOptions options;
  options.count = count;
  options.ends = ends;
  options.tolerance = 1e-10;
  options.max_iterations = 20000;
  return options;
}

/// Returns eigenvalues within [-1, 1], except for those in `top`.
at::Tensor with_top(const std::vector<double>& top, int64_t n, Random& random) {
  const at::Tensor rest = random.normal({n - static_cast<int64_t>(top.size())}).clamp(-1, 1);
  return at::cat({at::tensor(top, at::kDouble), rest}).unsqueeze(0);
}

// A residual norm r bounds the distance to some eigenvalue by r (Parlett, The Symmetric Eigenvalue Problem, 4.5).
// Comparing the eigenvalues in order shows that each is the right one.
TEST(TopEigenpairs, AgreesWithEigenOnRandomMatricesOfEverySpectrum) {
  for (const int64_t n : {1, 2, 5, 20, 65, 120}) {
    const auto seed = static_cast<uint64_t>(n);
    Random random(seed);
    for (const Spectrum& spectrum : spectra_of_size(n, random)) {
      const at::Tensor matrix = random.with_spectrum(spectrum.values.unsqueeze(0));
      const at::Tensor exact = support::dense_eigenvalues(matrix);
      const double norm = largest(exact);
      for (const int64_t count : std::set<int64_t>{1, std::min<int64_t>(3, n), std::min<int64_t>(20, n)}) {
        for (const Ends ends : {Ends::both, Ends::upper, Ends::lower, Ends::dominant}) {
          for (const int64_t width : {1, 3}) {
            if (spectrum.name == "repeated" && width == 1 && count > 3) {
              continue;  // a single vector does not find multiple eigenvalues
            }
            SCOPED_TRACE("n " + std::to_string(n) + ", " + spectrum.name + ", " + std::to_string(count) +
                         " pairs, ends " + std::to_string(static_cast<int>(ends)) + ", width " + std::to_string(width));
            TopEigenpairsOptions options = tight(count, ends);
            options.block_width = width;
            const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrix), options);
            EXPECT_TRUE(pairs.converged.all().item<bool>());
            if (ends == Ends::dominant) {  // eigenvalues of equal magnitude may swap places
              EXPECT_LT(largest(pairs.values.abs() - wanted_of(exact, ends, count).abs()), 1e-9 * norm + 1e-300);
            } else {
              EXPECT_LT(largest(pairs.values - wanted_of(exact, ends, count)), 1e-9 * norm + 1e-300);
            }
            EXPECT_LE(pairs.spectral_norm.item<double>(), norm * (1 + 1e-12));
            EXPECT_GE(pairs.spectral_norm.item<double>(), largest(pairs.values));
            EXPECT_LT(largest(pairs.residuals - true_residuals(matrix, pairs.vectors, pairs.values)),
                      1e-13 * norm + 1e-300);
            if (ends != Ends::both || 2 * count <= n) {
              EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-11);
            }
          }
        }
      }
    }
  }
}

TEST(TopEigenpairs, AgreesInFloat32WithinItsRounding) {
  Random random(1);
  for (const Spectrum& spectrum : spectra_of_size(80, random)) {
    SCOPED_TRACE(spectrum.name);
    const at::Tensor matrix = random.with_spectrum(spectrum.values.unsqueeze(0)).to(at::kFloat);
    const at::Tensor exact = support::dense_eigenvalues(matrix);
    TopEigenpairsOptions options = tight(3);
    options.tolerance = 1e-5;
    options.block_width = 3;
    const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrix), options);
    EXPECT_LT(largest(pairs.values - wanted_of(exact, Ends::both, 3)), 2e-5 * largest(exact) + 1e-300);
    EXPECT_TRUE(pairs.converged.all().item<bool>());
    EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-5);
  }
}

TEST(TopEigenpairs, AgreesWithSpectraOnTheLargestMagnitudes) {
  Random random(2);
  const at::Tensor matrix = random.symmetric(1, 200);
  const Eigen::Map<const Eigen::MatrixXd> dense(matrix.data_ptr<double>(), 200, 200);
  Spectra::DenseSymMatProd<double> product(dense);
  Spectra::SymEigsSolver<Spectra::DenseSymMatProd<double>> oracle(product, 6, 40);
  oracle.init();
  ASSERT_EQ(oracle.compute(Spectra::SortRule::LargestMagn, 1000, 1e-12, Spectra::SortRule::LargestMagn), 6);
  const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrix), tight(6, Ends::dominant));
  const Eigen::VectorXd expected = oracle.eigenvalues();
  for (int64_t i = 0; i < 6; ++i) {
    EXPECT_NEAR(pairs.values[0][i].item<double>(), expected[i], 1e-9 * std::abs(expected[0]));
  }
}

TEST(TopEigenpairs, FindsAMultipleEigenvalueAsOftenAsItOccursIfTheBlockIsAsWide) {
  for (const int64_t max_basis : {0, 12}) {
    SCOPED_TRACE("basis " + std::to_string(max_basis));
    Random random(3);
    const at::Tensor values = with_top({3, 3, 3, 2.5}, 200, random);
    const at::Tensor matrix = random.with_spectrum(values);
    TopEigenpairsOptions options = tight(4, Ends::upper);
    options.tolerance = 1e-6;
    options.block_width = 3;
    options.max_basis = max_basis;
    const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrix), options);
    EXPECT_TRUE(pairs.converged.all().item<bool>());
    EXPECT_LT(largest(pairs.values - at::tensor({3.0, 3.0, 3.0, 2.5}, at::kDouble)), 1e-9);
    const at::Tensor space = pairs.vectors.narrow(1, 0, 3);
    EXPECT_LT(largest(at::matmul(space, matrix) - 3 * space), 1e-5);
    EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-12);

    // A block of one vector finds only one direction of the eigenspace.
    options.block_width = 1;
    options.count = 2;
    options.tolerance = 1e-3;
    EXPECT_LT(hessian::top_eigenpairs(DenseOperator(matrix), options).values[0][1].item<double>(), 2.6);
  }
}

TEST(TopEigenpairs, SeparatesAClusterInFewerProductsWithABlock) {
  Random random(4);
  const at::Tensor matrix = random.with_spectrum(with_top({3.0003, 3.0002, 3.0001, 3.0}, 300, random));
  const DenseOperator op(matrix);
  TopEigenpairsOptions options = tight(4, Ends::upper);
  const TopEigenpairs single = hessian::top_eigenpairs(op, options);
  options.block_width = 4;
  const TopEigenpairs block = hessian::top_eigenpairs(op, options);
  for (const TopEigenpairs* pairs : {&single, &block}) {
    EXPECT_TRUE(pairs->converged.all().item<bool>());
    EXPECT_LT(largest(pairs->values - at::tensor({3.0003, 3.0002, 3.0001, 3.0}, at::kDouble)), 1e-9);
  }
  EXPECT_LT(3 * (block.iterations.item<int>() / 4), 2 * single.iterations.item<int>());
}

TEST(TopEigenpairs, FindsThePairsThroughManyRestartsOfASmallBasis) {
  for (const int64_t width : {1, 2}) {
    for (const int64_t max_basis : {8 + 2 * width, 17 + width}) {
      for (const Ends ends : {Ends::both, Ends::upper, Ends::lower, Ends::dominant}) {
        SCOPED_TRACE("basis " + std::to_string(max_basis) + ", width " + std::to_string(width) + ", ends " +
                     std::to_string(static_cast<int>(ends)));
        const at::Tensor matrices = Random(static_cast<uint64_t>(max_basis)).symmetric(2, 200);
        TopEigenpairsOptions options = tight(4, ends);
        options.tolerance = 1e-8;
        options.max_basis = max_basis;
        options.block_width = width;
        const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrices), options);
        const at::Tensor exact = support::dense_eigenvalues(matrices);
        EXPECT_LT(largest(pairs.values - wanted_of(exact, ends, 4)), 1e-7 * largest(exact));
        EXPECT_TRUE(pairs.converged.all().item<bool>());
        EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-12);
        EXPECT_GT(pairs.iterations.min().item<int>(), 3 * max_basis) << "the case is too easy: it hardly restarted";
      }
    }
  }
}

TEST(TopEigenpairs, SaysWhatHasConvergedIfTheIterationsDoNotSuffice) {
  const at::Tensor matrices = Random(5).symmetric(3, 150);
  for (const int64_t width : {1, 4}) {
    for (const int64_t iterations : {8, 20, 35}) {
      SCOPED_TRACE("width " + std::to_string(width) + ", " + std::to_string(iterations) + " iterations");
      TopEigenpairsOptions options = tight(3);
      options.tolerance = 1e-2;
      options.max_iterations = iterations;
      options.block_width = width;
      const DenseOperator dense(matrices);
      const RecordingOperator op(dense);
      const TopEigenpairs pairs = hessian::top_eigenpairs(op, options);
      // Rounding in float64 of a product with matrices of norm about 17.
      EXPECT_LT(largest(pairs.residuals - true_residuals(matrices, pairs.vectors, pairs.values)), 1e-12);
      const at::Tensor small = pairs.residuals <= 1e-2 * pairs.spectral_norm.unsqueeze(1);
      // Block Lanczos has no certificate, so that residuals alone decide.
      EXPECT_TRUE(at::equal(pairs.converged, width == 1 ? small.logical_and(pairs.certified.unsqueeze(1)) : small));
      EXPECT_FALSE(pairs.converged.all().item<bool>());
      for (int64_t problem = 0; problem < 3; ++problem) {
        EXPECT_LE(op.products(problem), iterations + 6);
      }
    }
  }
}

TEST(TopEigenpairs, FreezesConvergedProblemsWithoutChangingTheirNeighbours) {
  Random random(6);
  const at::Tensor hard = random.symmetric(2, 80);
  at::Tensor easy = at::zeros({1, 80}, at::kDouble);
  easy[0][0] = 4.0;
  easy[0][1] = -2.0;
  const at::Tensor matrices = at::cat({hard.narrow(0, 0, 1), random.with_spectrum(easy), hard.narrow(0, 1, 1)});
  const DenseOperator three(matrices);
  for (const int64_t width : {1, 2}) {
    SCOPED_TRACE("width " + std::to_string(width));
    const RecordingOperator recorded(three);
    TopEigenpairsOptions options = tight(2);
    options.block_width = width;
    options.max_basis = 30;
    const TopEigenpairs pairs = hessian::top_eigenpairs(recorded, options);
    EXPECT_LT(largest(pairs.values - wanted_of(support::dense_eigenvalues(matrices), Ends::both, 2)), 1e-8);
    EXPECT_LE(pairs.iterations[1].item<int>(), 12);
    for (int64_t problem = 0; problem < 3; ++problem) {
      EXPECT_EQ(recorded.products(problem), pairs.iterations[problem].item<int>() + 4) << "problem " << problem;
    }
    for (const int64_t problem : {0, 2}) {
      TopEigenpairsOptions alone = options;
      alone.problem_numbers = {problem};
      const TopEigenpairs single = hessian::top_eigenpairs(DenseOperator(matrices.narrow(0, problem, 1)), alone);
      EXPECT_EQ(single.iterations[0].item<int>(), pairs.iterations[problem].item<int>());
      EXPECT_LT(largest(single.values[0] - pairs.values[problem]), 1e-11);
    }
  }
}

TEST(TopEigenpairs, DoesNotDependOnHowTheProblemsAreDividedIntoGroups) {
  // Only a few eigenvalues differ from zero, so that random vectors continue the exhausted Krylov spaces.
  Random random(7);
  at::Tensor values = random.normal({6, 50});
  values.narrow(0, 0, 3).narrow(1, 4, 46).zero_();
  const at::Tensor matrices = random.with_spectrum(values);
  TopEigenpairsOptions options;
  options.count = 3;
  options.block_width = 2;
  options.tolerance = 1e-4;  // loose, so that a different iteration would give different Ritz values
  options.seed = 3;
  const TopEigenpairs whole = hessian::top_eigenpairs(DenseOperator(matrices), options);
  for (int64_t first = 0; first < 6; first += 2) {
    options.problem_numbers = numbers_from(first, 2);
    const TopEigenpairs part = hessian::top_eigenpairs(DenseOperator(matrices.narrow(0, first, 2)), options);
    EXPECT_LT(largest(part.values - whole.values.narrow(0, first, 2)), 1e-10) << "problems from " << first;
    EXPECT_TRUE(at::equal(part.iterations, whole.iterations.narrow(0, first, 2)));
  }
}

TEST(TopEigenpairs, FindsTheLargestMagnitudesInOrder) {
  Random random(20);
  const at::Tensor values = at::tensor({5.0, -4.0, 3.0, -2.0, 1.5, 0.3, 0.2, -0.1, 0.05, 0.0}, at::kDouble);
  const at::Tensor matrices = random.with_spectrum(values.expand({2, 10}));
  for (const double tolerance : {1e-9, 1e-4}) {
    SCOPED_TRACE(tolerance);
    TopEigenpairsOptions options = tight(5, Ends::dominant);
    options.tolerance = tolerance;
    const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrices), options);
    // The error of an eigenvalue is the squared residual, (5 * tolerance)^2, over the gap, at least 0.5.
    EXPECT_LT(largest(pairs.values - values.narrow(0, 0, 5)), std::max(100 * tolerance * tolerance, 1e-9));
    EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-12);
    EXPECT_LT(largest(pairs.residuals - true_residuals(matrices, pairs.vectors, pairs.values)), 1e-12);
    EXPECT_TRUE(at::equal(pairs.converged, pairs.residuals <= tolerance * 5));
  }
}

TEST(TopEigenpairs, DoesNotTakePairsThatConvergeFirstForTheDominantOnes) {
  // Separate values at one end converge long before the crowded other end, which is larger in magnitude.
  const at::Tensor crowded = at::linspace(-1.02, -0.2, 300, at::kDouble);
  for (const int64_t count : {1, 2}) {
    const at::Tensor separate = at::tensor({1.01, 1.0}, at::kDouble).narrow(0, 2 - count, count);
    for (const double sign : {1.0, -1.0}) {
      const DenseOperator op(at::diag_embed(sign * at::cat({crowded, separate})).unsqueeze(0));
      for (uint64_t seed = 0; seed < 20; ++seed) {
        SCOPED_TRACE("seed " + std::to_string(seed) + ", " + std::to_string(count) + " pairs, sign " +
                     std::to_string(sign));
        for (const double certify : {0.0, 0.01}) {
          const TopEigenpairs pairs = top_eigenpairs(op, {.count = count,
                                                          .tolerance = 1e-3,
                                                          .ends = Ends::dominant,
                                                          .certificate = {.certify = certify},
                                                          .seed = seed});
          EXPECT_TRUE(pairs.converged.all().item<bool>());
          EXPECT_LT(largest(pairs.values + sign * 1.02), 0.01) << "certify " << certify;
        }
      }
    }
  }
}

TEST(TopEigenpairs, RemembersTheSpectralNormOfTheEndThatRestartsForget) {
  const at::Tensor values = at::cat({at::full({1}, -5, at::kDouble), at::linspace(-1, 1, 200, at::kDouble)});
  for (const double sign : {1.0, -1.0}) {
    const DenseOperator op(at::diag_embed(sign * values).unsqueeze(0));
    for (int64_t products = 12; products <= 40; ++products) {  // some of these end just after a restart
      const TopEigenpairs pairs = top_eigenpairs(op, {.tolerance = 1e-8,
                                                      .ends = sign > 0 ? Ends::upper : Ends::lower,
                                                      .certificate = {.certify = 0},
                                                      .max_iterations = products,
                                                      .max_basis = 12});
      EXPECT_NEAR(pairs.spectral_norm.item<double>(), 5, 0.01) << products;
    }
  }
}

TEST(TopEigenpairs, GivesOrthonormalVectorsIfOneEigenvalueIsFarLargerThanTheOthers) {
  Random random(22);
  at::Tensor values = 1e-9 * random.normal({1, 100});
  values[0][0] = 1;
  const DenseOperator op(random.with_spectrum(values));
  for (const Ends ends : {Ends::upper, Ends::dominant, Ends::lower}) {
    const TopEigenpairs pairs = top_eigenpairs(op, {.count = 6, .ends = ends, .block_width = 3});
    EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-14);
  }
}

TEST(TopEigenpairs, FindsAllPairsOfASmallSingularMatrix) {
  Random random(21);
  const at::Tensor matrix = random.with_spectrum(at::tensor({-3.0, 2.0, 0.0, 0.0}, at::kDouble).unsqueeze(0));
  const TopEigenpairs pairs = hessian::top_eigenpairs(DenseOperator(matrix), tight(4, Ends::dominant));
  EXPECT_LT(largest(pairs.values - wanted_of(support::dense_eigenvalues(matrix), Ends::dominant, 4)), 1e-8);
  EXPECT_TRUE(pairs.converged[0][0].item<bool>());
  EXPECT_LT(largest(pairs.residuals), 4 * 3e-9);
  EXPECT_LT(distance_from_orthonormal(pairs.vectors), 1e-12);
}

TEST(TopEigenpairs, TakesNoMoreProductsForOneDominantPairThanLanczos) {
  Random random(10);
  for (const Spectrum& spectrum : spectra_of_size(100, random)) {
    SCOPED_TRACE(spectrum.name);
    const DenseOperator op(random.with_spectrum(spectrum.values.unsqueeze(0)));
    const auto one = hessian::lanczos(op, {.tolerance = 1e-6, .ends = Ends::dominant, .max_iterations = 4000});
    const TopEigenpairs pair =
        hessian::top_eigenpairs(op, {.tolerance = 1e-6, .ends = Ends::dominant, .max_iterations = 4000});
    EXPECT_NEAR(pair.values.abs().item<double>(), one.spectral_norm().item<double>(),
                1e-5 * one.spectral_norm().item<double>());
    if (!pair.spectral_norm.equal(at::zeros({1}, at::kDouble)) && one.iterations.item<int>() >= 8) {
      EXPECT_LE(pair.iterations.item<int>(), one.iterations.item<int>());
    }
  }
}

TEST(TopEigenpairs, GivesUpOnlyTheProblemWhoseProductsAreNotFinite) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    at::Tensor matrices = Random(8).symmetric(2, 12);
    matrices[1][3][3] = bad;
    const DenseOperator dense(matrices);
    const RecordingOperator op(dense);
    const TopEigenpairs pairs = hessian::top_eigenpairs(op, {.count = 2, .ends = Ends::upper});
    EXPECT_TRUE(pairs.values[1].isnan().all().item<bool>());
    EXPECT_TRUE(pairs.residuals[1].isnan().all().item<bool>());
    EXPECT_TRUE(pairs.upper_bound[1].isnan().item<bool>());
    EXPECT_FALSE(pairs.converged[1].any().item<bool>());
    EXPECT_EQ(op.products(1), 1 + 2) << "one product shows it, and each residual takes one";
    const TopEigenpairs alone =
        hessian::top_eigenpairs(DenseOperator(matrices.narrow(0, 0, 1)), {.count = 2, .ends = Ends::upper});
    EXPECT_LT(largest(pairs.values[0] - alone.values[0]), 1e-12);
    EXPECT_TRUE(pairs.converged[0].all().item<bool>());
  }
}

TEST(TopEigenpairs, RefusesOptionsOutOfRange) {
  const DenseOperator op(Random(9).symmetric(1, 40));
  const auto refusal = [&](auto&& change) {
    TopEigenpairsOptions options;
    options.count = 5;
    change(options);
    return refusal_of<std::invalid_argument>([&] { hessian::top_eigenpairs(op, options); });
  };
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.count = 0; }), "0 eigenpairs requested of an operator of size 40");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.count = 41; }),
            "41 eigenpairs requested of an operator of size 40");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.block_width = 0; }), "the block width is 0; it must be at least 1");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.max_basis = 11; }),
            "the number of basis vectors is 11; it must be at least 12");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.max_iterations = 9; }),
            "the iteration limit is 9; it must be at least 10");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) { o.tolerance = -1; }),
            "the tolerance is -1.000000; it must be positive");
  EXPECT_EQ(refusal([](TopEigenpairsOptions& o) {
              o.problem_numbers = {1, 2};
            }),
            "there are 2 problem numbers for 1 problems");
}

}  // namespace
}  // namespace hessian::tests
