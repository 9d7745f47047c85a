#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/operator_algebra.h"
#include "hessian/restricted_operator.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::DenseOperator;
using hessian::OperatorPtr;
using hessian::ProblemIndices;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

// Rounding errors of sums of a few dozen terms of order one, in a different order from the dense algebra's.
constexpr double rounding = 1e-12;

OperatorPtr dense(const at::Tensor& matrices) {
  return std::make_shared<DenseOperator>(matrices);
}

/// Compares an operator with its matrices: all problems, subsets in any order, and several vectors.
void expect_equals(const OperatorPtr& op, const at::Tensor& matrices, Random& random) {
  const int64_t problems = matrices.size(0);
  const int64_t n = matrices.size(1);
  ASSERT_EQ(op->problems(), problems);
  ASSERT_EQ(op->dim(), n);
  EXPECT_LT(largest(hessian::to_dense(*op) - matrices), rounding);
  for (const int64_t k : {1, 3}) {
    const at::Tensor v = random.normal({problems, k, n});
    const at::Tensor expected = at::bmm(v, matrices.transpose(1, 2));
    EXPECT_LT(largest(op->apply(v) - expected), rounding);
    ProblemIndices backwards;
    for (int64_t problem = problems - 1; problem >= 0; problem -= 2) {
      backwards.push_back(problem);
    }
    const at::Tensor part = op->apply(hessian::rows_of(v, backwards), backwards);
    EXPECT_LT(largest(part - hessian::rows_of(expected, backwards)), rounding);
  }
}

template <class Check>
void for_random_shapes(const Check& check) {
  for (uint64_t seed = 0; seed < 12; ++seed) {
    Random random(seed);
    const int64_t problems = random.integer(1, 5);
    const int64_t n = random.integer(1, 20);
    SCOPED_TRACE("problems " + std::to_string(problems) + ", n " + std::to_string(n) + ", seed " +
                 std::to_string(seed));
    check(random, problems, n);
  }
}

TEST(DenseOperator, MultipliesWithMatricesThatAreNotSymmetric) {
  for_random_shapes([](Random& random, int64_t problems, int64_t n) {
    const at::Tensor matrices = random.normal({problems, n, n});
    expect_equals(dense(matrices), matrices, random);
  });
}

TEST(DenseOperator, RefusesTensorsThatAreNotSquareMatrices) {
  EXPECT_EQ(refusal_of<std::invalid_argument>([] {
              DenseOperator(at::zeros({2, 3, 4}));
            }),
            "matrices are [2, 3, 4], expected [S, n, n]");
  EXPECT_EQ(refusal_of<std::invalid_argument>([] {
              DenseOperator(at::zeros({3, 3}));
            }),
            "matrices are [3, 3], expected [S, n, n]");
}

TEST(LinearOperator, RefusesVectorsThatDoNotFit) {
  const DenseOperator op(at::zeros({2, 4, 4}, at::kDouble));
  const auto refusal = [&](const at::Tensor& v, const ProblemIndices& problems) {
    return refusal_of<std::invalid_argument>([&] { op.apply(v, problems); });
  };
  EXPECT_EQ(refusal(at::zeros({2, 1, 5}, at::kDouble), {0, 1}), "vectors are [2, 1, 5], expected [2, k, 4]");
  EXPECT_EQ(refusal(at::zeros({2, 1, 4}, at::kDouble), {1}), "vectors are [2, 1, 4], expected [1, k, 4]");
  EXPECT_EQ(refusal(at::zeros({2, 4}, at::kDouble), {0, 1}), "vectors are [2, 4], expected [2, k, 4]");
  EXPECT_EQ(refusal(at::zeros({1, 1, 4}, at::kFloat), {0}), "vectors are Float on cpu, expected double on cpu");
  EXPECT_EQ(refusal(at::zeros({1, 1, 4}, at::kDouble), {2}), "problem 2 is not among the operator's 2");
  EXPECT_EQ(refusal(at::zeros({1, 1, 4}, at::kDouble), {-1}), "problem -1 is not among the operator's 2");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              op.apply(at::zeros({1, 1, 4}, at::kDouble));
            }),
            "vectors are [1, 1, 4], expected [2, k, 4]");
}

TEST(ToDense, TakesTheColumnsInChunksOfAnySize) {
  Random random(1);
  const at::Tensor matrices = random.normal({2, 7, 7});
  for (const int64_t columns : {1, 2, 3, 7, 100}) {
    EXPECT_TRUE(at::allclose(hessian::to_dense(DenseOperator(matrices), columns), matrices)) << columns;
  }
}

TEST(OperatorAlgebra, ScalesAddsAndShiftsAsMatricesDo) {
  for_random_shapes([](Random& random, int64_t problems, int64_t n) {
    const at::Tensor a = random.normal({problems, n, n});
    const at::Tensor b = random.normal({problems, n, n});
    const at::Tensor shifts = random.normal({problems});
    expect_equals(hessian::scaled(dense(a), -2.5), -2.5 * a, random);
    expect_equals(hessian::sum(dense(a), dense(b)), a + b, random);
    const at::Tensor shifted = a - shifts.view({-1, 1, 1}) * at::eye(n, at::kDouble);
    expect_equals(hessian::shifted(dense(a), shifts), shifted, random);
    expect_equals(hessian::scaled(hessian::sum(hessian::shifted(dense(a), shifts), dense(b)), 0.5), 0.5 * (shifted + b),
                  random);
  });
}

TEST(OperatorAlgebra, RescalingMultipliesRowsAndColumnsByTheDiagonal) {
  for_random_shapes([](Random& random, int64_t problems, int64_t n) {
    const at::Tensor a = random.symmetric(problems, n);
    const at::Tensor scale = random.normal({problems, n});
    expect_equals(hessian::rescaled(dense(a), scale), scale.unsqueeze(2) * a * scale.unsqueeze(1), random);
  });
}

TEST(OperatorAlgebra, DeflationSubtractsTheOuterProducts) {
  for_random_shapes([](Random& random, int64_t problems, int64_t n) {
    const int64_t k = random.integer(1, n);
    const at::Tensor a = random.symmetric(problems, n);
    const at::Tensor vectors = std::get<0>(at::linalg_qr(random.normal({problems, n, k}))).transpose(1, 2);
    const at::Tensor values = random.normal({problems, k});
    const at::Tensor expected = a - at::matmul(vectors.transpose(1, 2) * values.unsqueeze(1), vectors);
    expect_equals(hessian::deflated(dense(a), vectors, values), expected, random);
  });
}

TEST(OperatorAlgebra, DeflationMovesAnEigenvalueToZeroAndLeavesTheOthers) {
  Random random(2);
  const at::Tensor matrix = random.with_spectrum(at::tensor({3.0, -1.0, 0.5, 2.0}, at::kDouble).unsqueeze(0));
  const auto [values, vectors] = at::linalg_eigh(matrix);
  const OperatorPtr op =
      hessian::deflated(dense(matrix), vectors.transpose(1, 2).narrow(1, 3, 1), values.narrow(1, 3, 1));
  const at::Tensor left = support::dense_eigenvalues(hessian::to_dense(*op));
  EXPECT_LT(largest(left - at::tensor({-1.0, 0.0, 0.5, 2.0}, at::kDouble)), rounding);
}

TEST(OperatorAlgebra, KeepsThePrecisionOfTheOperator) {
  Random random(3);
  const OperatorPtr op = dense(random.symmetric(2, 5).to(at::kFloat));
  const at::Tensor v = random.normal({2, 1, 5}, at::kFloat);
  EXPECT_EQ(hessian::shifted(op, random.normal({2}))->apply(v).scalar_type(), at::kFloat);
  EXPECT_EQ(hessian::deflated(op, random.normal({2, 1, 5}), random.normal({2, 1}))->apply(v).scalar_type(), at::kFloat);
  EXPECT_EQ(hessian::scaled(op, 2.0)->apply(v).scalar_type(), at::kFloat);
}

TEST(OperatorAlgebra, RefusesToAddOperatorsThatDoNotMatch) {
  const OperatorPtr op = dense(at::zeros({2, 3, 3}, at::kDouble));
  const std::string wanted = "only operators of equal problems, size, precision and device can be added";
  for (const OperatorPtr& other : {dense(at::zeros({1, 3, 3}, at::kDouble)), dense(at::zeros({2, 4, 4}, at::kDouble)),
                                   dense(at::zeros({2, 3, 3}, at::kFloat))}) {
    EXPECT_EQ(refusal_of<std::invalid_argument>([&] { hessian::sum(op, other); }), wanted);
  }
}

TEST(RestrictedOperator, IsThePrincipalSubmatrixOfEachProblem) {
  for_random_shapes([](Random& random, int64_t problems, int64_t n) {
    const at::Tensor matrices = random.normal({problems, n, n});
    const int64_t length = random.integer(1, n);
    std::vector<int64_t> starts;
    std::vector<at::Tensor> expected;
    for (int64_t problem = 0; problem < problems; ++problem) {
      starts.push_back(random.integer(0, n - length));
      expected.push_back(matrices[problem].narrow(0, starts.back(), length).narrow(1, starts.back(), length));
    }
    expect_equals(std::make_shared<hessian::RestrictedOperator>(dense(matrices), starts, length), at::stack(expected),
                  random);
  });
}

TEST(RestrictedOperator, RefusesRangesOutsideTheProblems) {
  const OperatorPtr op = dense(at::zeros({2, 6, 6}, at::kDouble));
  const auto refusal = [&](std::vector<int64_t> starts, int64_t length) {
    return refusal_of<std::invalid_argument>([&] { hessian::RestrictedOperator(op, starts, length); });
  };
  EXPECT_EQ(refusal({0}, 2), "a restriction needs one range for each of the operator's 2 problems, not 1");
  EXPECT_EQ(refusal({0, 5}, 2), "coordinates 5 to 7 are not within a problem of size 6");
  EXPECT_EQ(refusal({-1, 0}, 2), "coordinates -1 to 1 are not within a problem of size 6");
  EXPECT_NE(refusal({0, 0}, 0), "");
}

}  // namespace
}  // namespace hessian::tests
