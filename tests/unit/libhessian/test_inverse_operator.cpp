#include "hessian/inverse_operator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <stdexcept>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::DenseOperator;
using hessian::inverse;
using hessian::InverseOptions;
using hessian::support::largest;
using hessian::support::Random;
using testing::HasSubstr;

namespace hessian::tests {
namespace {

std::string refusal(const hessian::OperatorPtr& op, const at::Tensor& v) {
  return support::refusal_of([&] { op->apply(v); });
}

TEST(InverseOperator, IsTheInverseOfTheDampedMatricesOfAllProblems) {
  Random random(1);
  for (const int64_t n : {1, 5, 24}) {
    for (const double damping : {0.0, 0.5}) {
      const at::Tensor root = random.normal({3, n, n});
      const at::Tensor matrices = at::matmul(root, root.transpose(1, 2)) + 0.1 * at::eye(n, at::kDouble);
      InverseOptions options;
      options.damping = damping;
      options.tolerance = 1e-12;
      const auto op = inverse(std::make_shared<DenseOperator>(matrices), options);
      const at::Tensor expected = at::linalg_inv(matrices + damping * at::eye(n, at::kDouble));
      EXPECT_LT(largest(hessian::to_dense(*op) - expected), 1e-8 * largest(expected)) << n << ", " << damping;
      const at::Tensor v = random.normal({1, 2, n});
      EXPECT_LT(largest(op->apply(v, {2}) - at::matmul(v, expected[2])), 1e-8 * largest(expected));
      EXPECT_EQ(largest(op->apply(at::zeros({3, 1, n}, at::kDouble))), 0.0);
    }
  }
}

TEST(InverseOperator, SaysWhenAMatrixIsNotPositiveDefiniteOrTheToleranceIsNotReached) {
  Random random(2);
  const at::Tensor indefinite = at::diag(at::tensor({2.0, 1.0, -1.0}, at::kDouble)).unsqueeze(0);
  const auto bare = std::make_shared<DenseOperator>(indefinite);
  const at::Tensor v = at::ones({1, 1, 3}, at::kDouble);
  EXPECT_THAT(refusal(inverse(bare), v), HasSubstr("not positive definite with a damping of 0"));
  InverseOptions damped;
  damped.damping = 1.5;
  EXPECT_NO_THROW(inverse(bare, damped)->apply(v));
  InverseOptions hurried;
  hurried.max_iterations = 2;
  const at::Tensor root = random.normal({1, 8, 8});
  const auto ill = std::make_shared<DenseOperator>(at::matmul(root, root.transpose(1, 2)));
  EXPECT_THAT(refusal(inverse(ill, hurried), random.normal({1, 1, 8})), HasSubstr("in 2 products"));
  InverseOptions wrong;
  wrong.damping = -1;
  EXPECT_THROW(inverse(bare, wrong), std::invalid_argument);
}

TEST(InverseOperator, RefusesRightHandSidesThatAreNotFinite) {
  const auto op = inverse(std::make_shared<DenseOperator>(at::eye(4, at::kDouble).expand({2, 4, 4})));
  for (const double value : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    at::Tensor v = at::ones({2, 1, 4}, at::kDouble);
    v[1][0][2] = value;
    EXPECT_EQ(support::refusal_of<std::invalid_argument>([&] { op->apply(v); }),
              "a right-hand side of the inverse is not finite");
  }
  const at::Tensor nothing = at::full({1, 4, 4}, std::nan(""), at::kDouble);
  EXPECT_EQ(refusal(inverse(std::make_shared<DenseOperator>(nothing)), at::ones({1, 1, 4}, at::kDouble)),
            "a product of the matrix to be inverted is not finite");
}

TEST(InverseOperator, ReachesTheToleranceWithTheTrueResidualOrThrows) {
  // Condition numbers up to 1e8: the recurrence's residual falls further than the true one.
  Random random(3);
  int solved = 0;
  int refused = 0;
  for (const double smallest : {1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8}) {
    for (const at::ScalarType dtype : {at::kFloat, at::kDouble}) {
      SCOPED_TRACE(smallest);
      const at::Tensor values = at::logspace(std::log10(smallest), 0, 30, 10.0, at::kDouble).expand({2, 30});
      const auto op = std::make_shared<DenseOperator>(random.with_spectrum(values).to(dtype));
      const at::Tensor b = random.normal({2, 1, 30}).to(dtype);
      const double tolerance = dtype == at::kFloat ? 1e-5 : 1e-10;
      try {
        const at::Tensor x = inverse(op, {.tolerance = tolerance, .max_iterations = 20000})->apply(b);
        const at::Tensor residual = (b - op->apply(x)).norm(2, 2) / b.norm(2, 2);
        EXPECT_LE(largest(residual), 1.001 * tolerance);
        ++solved;
      } catch (const std::runtime_error& error) {
        EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("rounding errors leave"), HasSubstr("did not reach"),
                                                 HasSubstr("not positive definite")));
        ++refused;
      }
    }
  }
  EXPECT_GE(solved, 6);
  EXPECT_GE(refused, 1);
}

}  // namespace
}  // namespace hessian::tests
