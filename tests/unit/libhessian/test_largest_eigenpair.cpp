#include "hessian/largest_eigenpair.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "hessian/dense_operator.h"
#include "random_problems.h"
#include "refusal.h"
#include "true_residuals.h"

using hessian::DenseOperator;
using hessian::Eigenpair;
using hessian::Ends;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

TEST(LargestEigenpair, FindsTheEigenvalueOfLargestMagnitudeAndThoseAtTheEnds) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const at::Tensor matrix = random.symmetric(1, random.integer(1, 80));
    const at::Tensor exact = support::dense_eigenvalues(matrix)[0];
    const double norm = largest(exact);
    const auto upper = exact.max().item<double>();
    const auto lower = exact.min().item<double>();
    for (const Ends ends : {Ends::dominant, Ends::upper, Ends::lower}) {
      const Eigenpair pair = largest_eigenpair(DenseOperator(matrix), {.tolerance = 1e-8, .ends = ends});
      const bool is_upper = ends == Ends::dominant ? upper >= -lower : ends == Ends::upper;
      EXPECT_NEAR(pair.value, is_upper ? upper : lower, 1e-7 * norm);
      EXPECT_TRUE(pair.converged);
      EXPECT_GT(pair.iterations, 0);
      EXPECT_EQ(pair.vector.dim(), 1);
      EXPECT_NEAR(pair.vector.norm().item<double>(), 1.0, 1e-12);
      const at::Tensor residual =
          support::true_residuals(matrix, pair.vector.view({1, 1, -1}), at::full({1, 1}, pair.value, at::kDouble));
      EXPECT_NEAR(pair.residual_norm, residual.item<double>(), 1e-12 * norm);
    }
  }
}

TEST(LargestEigenpair, SaysThatItHasNotConverged) {
  const DenseOperator op(Random(7).symmetric(1, 200));
  const Eigenpair pair = largest_eigenpair(op, {.tolerance = 1e-10, .max_iterations = 9});
  EXPECT_FALSE(pair.converged);
  EXPECT_EQ(pair.iterations, 9);
}

TEST(LargestEigenpair, RefusesSeveralProblemsAndBothEnds) {
  const DenseOperator op(Random(8).symmetric(2, 5));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { largest_eigenpair(op); }),
            "largest_eigenpair() expects an operator of one problem, this one has 2; lanczos() solves several");
  EXPECT_EQ(refusal_of<std::invalid_argument>(
                [] { largest_eigenpair(DenseOperator(Random(8).symmetric(1, 5)), {.ends = Ends::both}); }),
            "largest_eigenpair() finds one end: dominant, upper or lower; lanczos() finds both");
}

}  // namespace
}  // namespace hessian::tests
