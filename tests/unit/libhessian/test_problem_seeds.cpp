#include "hessian/problem_seeds.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "hessian/dense_operator.h"
#include "random_problems.h"

using hessian::DenseOperator;
using hessian::random_signs;
using hessian::random_unit_vectors;
using hessian::support::numbers_from;

namespace hessian::tests {
namespace {

TEST(ProblemSeeds, GiveEveryProblemSeedAndStreamAVectorOfItsOwn) {
  constexpr int64_t count = 20001;
  const DenseOperator op(at::zeros({count, 2, 2}, at::kDouble));
  std::set<std::pair<double, double>> vectors;
  std::size_t drawn = 0;
  // Includes seeds and streams that differ only above bit 31, and those that exchange values.
  for (const auto& [seed, stream] : std::vector<std::pair<uint64_t, uint64_t>>{
           {0, 0}, {0, 1}, {1, 0}, {uint64_t{1} << 32U, 0}, {0, uint64_t{1} << 32U}}) {
    const at::Tensor drawn_now = random_unit_vectors(op, {.seed = seed}, stream);
    const auto* const numbers = drawn_now.const_data_ptr<double>();
    for (int64_t problem = 0; problem < count; ++problem) {
      vectors.emplace(numbers[2 * problem], numbers[2 * problem + 1]);
    }
    drawn += count;
  }
  EXPECT_EQ(vectors.size(), drawn);
}

TEST(ProblemSeeds, MakeIndependentVectors) {
  // Inner products of vectors of neighbouring problems, seeds and streams have variance 1 / n; the mean square of 300 has a
  // relative standard deviation of sqrt(2 / 300).
  constexpr int64_t n = 64;
  const DenseOperator op(at::zeros({301, n, n}, at::kDouble));
  const at::Tensor first = random_unit_vectors(op, {.seed = 7});
  const auto expect_independent = [](const at::Tensor& a, const at::Tensor& b) {
    EXPECT_NEAR((n * (a * b).sum(1).square()).mean().item<double>(), 1, 0.33);
  };
  expect_independent(first.narrow(0, 0, 300), first.narrow(0, 1, 300));
  expect_independent(first, random_unit_vectors(op, {.seed = 8}));
  expect_independent(first, random_unit_vectors(op, {.seed = 7}, 1));
  const at::Tensor signs = random_signs(op, {.seed = 7}, 0);
  EXPECT_NEAR(signs.mean().item<double>(), 0, 4 / std::sqrt(301.0 * n));
}

TEST(ProblemSeeds, DependOnTheNumberOfAProblemAndNotOnItsPlace) {
  const DenseOperator all(at::zeros({6, 5, 5}, at::kDouble));
  const DenseOperator some(at::zeros({2, 5, 5}, at::kDouble));
  const at::Tensor whole = random_unit_vectors(all, {.seed = 3}, 2);
  const at::Tensor group = random_unit_vectors(some, {.seed = 3, .problem_numbers = numbers_from(4, 2)}, 2);
  EXPECT_TRUE(group.equal(whole.narrow(0, 4, 2)));
}

}  // namespace
}  // namespace hessian::tests
