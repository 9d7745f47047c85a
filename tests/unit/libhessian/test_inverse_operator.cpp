#include "hessian/inverse_operator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

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

}  // namespace
}  // namespace hessian::tests
