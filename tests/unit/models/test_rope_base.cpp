#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "checkpoints/rope_base.h"

using hessian::models::rope_base_of_table;

namespace hessian::tests {
namespace {

/// Computes the table as Meta's precompute_freqs_cis does, in float32.
at::Tensor table_of(double base, int64_t head_dim, int64_t positions) {
  const at::Tensor exponents = at::arange(0, head_dim, 2, at::kFloat) / static_cast<float>(head_dim);
  const at::Tensor frequencies = 1.0F / at::pow(at::scalar_tensor(base, at::kFloat), exponents);
  const at::Tensor angles = at::outer(at::arange(positions, at::kFloat), frequencies);
  return at::polar(at::ones_like(angles), angles);
}

TEST(RopeBase, IsFoundExactlyForEveryBaseAndWidthInUse) {
  for (const double base : {100.0, 10000.0, 12345.0, 500000.0, 1000000.0, 8000000.0}) {
    for (const int64_t head_dim : {4, 6, 8, 10, 16, 64, 80, 128, 256}) {
      for (const int64_t positions : {32, 64, 4096}) {
        EXPECT_EQ(rope_base_of_table(table_of(base, head_dim, positions)), base) << head_dim << " " << positions;
      }
    }
  }
}

TEST(RopeBase, IsOfNoConsequenceForHeadsOfTwo) {
  EXPECT_EQ(rope_base_of_table(table_of(500000.0, 2, 16)), 10000.0);
}

TEST(RopeBase, IsNotFoundInOtherTables) {
  at::Tensor scaled = table_of(10000.0, 16, 64).clone();
  scaled.select(1, 7).copy_(scaled.select(1, 6));
  EXPECT_EQ(rope_base_of_table(scaled), std::nullopt);
  at::Tensor damaged = table_of(10000.0, 16, 64).clone();
  damaged[40][2] = 0.5;
  EXPECT_EQ(rope_base_of_table(damaged), std::nullopt);
  EXPECT_EQ(rope_base_of_table(at::full({8, 4}, NAN, at::kComplexFloat)), std::nullopt);
  EXPECT_EQ(rope_base_of_table(at::zeros({8, 4}, at::kComplexFloat)), std::nullopt);
  EXPECT_EQ(rope_base_of_table(at::ones({8, 4}, at::kComplexFloat)), std::nullopt);
  EXPECT_EQ(rope_base_of_table(at::ones({8, 4})), std::nullopt);
  EXPECT_EQ(rope_base_of_table(table_of(10000.0, 16, 1)), std::nullopt);
  EXPECT_EQ(rope_base_of_table(at::ones({8, 0}, at::kComplexFloat)), std::nullopt);
}

}  // namespace
}  // namespace hessian::tests
