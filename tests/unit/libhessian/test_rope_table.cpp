#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "program/rope_table.h"
#include "random_problems.h"
#include "refusal.h"

// The cache of tables and the checks of sizes; test_primitives.cpp compares RoPE itself with its formula.

namespace hessian::tests {
namespace {

using support::largest;

const at::TensorOptions wide = at::dtype(at::kDouble);

/// Returns a rope with every field set, and ropes that differ from it in one field each.
std::vector<std::pair<std::string, Rope>> ropes() {
  const Rope base{8, 50.0, 6, {1.0, 0.5, 0.25}, 1.2, 4, {0.9, 0.3, 0.1}, 3.0};
  std::vector<std::pair<std::string, Rope>> all = {{"base", base}};
  const auto add = [&](const std::string& field, const auto& change) {
    Rope rope = base;
    change(rope);
    all.emplace_back(field, rope);
  };
  add("head_dim", [](Rope& rope) { rope.head_dim = 10; });
  add("theta", [](Rope& rope) { rope.theta = 60.0; });
  add("rotated_dim", [](Rope& rope) { rope.rotated_dim = 0, rope.factors = {}, rope.long_factors = {}; });
  add("factors", [](Rope& rope) { rope.factors[2] = 0.5; });
  add("scale", [](Rope& rope) { rope.scale = 1.3; });
  add("original_positions", [](Rope& rope) { rope.original_positions = 3; });
  add("long_factors", [](Rope& rope) { rope.long_factors[0] = 0.8; });
  add("dynamic_factor", [](Rope& rope) { rope.dynamic_factor = 2.0; });
  return all;
}

// Tables of all ropes, short and long, from a cache that holds those of the others, in both orders of lengths.
TEST(RopeTable, IsNotSharedByRopesThatDifferInOneField) {
  for (const int64_t positions : {7, 3, 4, 5, 64, 2}) {
    for (const auto& [field, rope] : ropes()) {
      SCOPED_TRACE(field + ", " + std::to_string(positions) + " positions");
      const at::Tensor cached = cached_rope_table(rope, positions, wide);
      const at::Tensor fresh = rope_table(rope, positions, wide);
      ASSERT_EQ(cached.sizes(), at::IntArrayRef({positions, 2, rope.head_dim / 2}));
      EXPECT_LT(largest(cached - fresh), 1e-14);
    }
  }
  // The comparison above would not notice a field that no table depends on.
  const auto all = ropes();
  for (const auto& [field, rope] : all) {
    const auto differ = [&, &changed = rope](int64_t positions) {
      const at::Tensor table = rope_table(all.front().second, positions, wide);
      const at::Tensor other = rope_table(changed, positions, wide);
      return table.sizes() != other.sizes() || largest(table - other) > 1e-3;
    };
    EXPECT_EQ(differ(4) || differ(9), field != "base") << field;
  }
}

TEST(RopeTable, IsKeptForEachPrecision) {
  const Rope rope{4, 70.0};
  EXPECT_EQ(cached_rope_table(rope, 6, wide).scalar_type(), at::kDouble);
  EXPECT_EQ(cached_rope_table(rope, 6, at::dtype(at::kFloat)).scalar_type(), at::kFloat);
  EXPECT_TRUE(cached_rope_table(rope, 5, wide).is_alias_of(cached_rope_table(rope, 3, wide)));
}

TEST(RopeTable, UsesTheLongFactorsAndTheDynamicBaseOnlyBeyondTheOriginalPositions) {
  const Rope plain{6, 50.0, 0, {1.0, 0.5, 0.25}};
  Rope long_factors = plain;
  long_factors.original_positions = 4;
  long_factors.long_factors = {0.9, 0.3, 0.1};
  Rope dynamic = plain;
  dynamic.original_positions = 4;
  dynamic.dynamic_factor = 2.0;
  for (const Rope& rope : {long_factors, dynamic}) {
    for (const int64_t positions : {3, 4}) {
      EXPECT_TRUE(at::equal(rope_table(rope, positions, wide), rope_table(plain, positions, wide))) << positions;
    }
    EXPECT_GT(largest(rope_table(rope, 5, wide) - rope_table(plain, 5, wide)), 1e-3);
  }
}

TEST(RopeTable, RefusesSizesThatDoNotFit) {
  const auto complaint = [](const Rope& rope) {
    const std::string message = support::refusal_of<std::invalid_argument>([&] { rope_table(rope, 2, wide); });
    EXPECT_EQ(support::refusal_of<std::invalid_argument>([&] { cached_rope_table(rope, 2, wide); }), message);
    return message;
  };
  const std::string expected =
      ", expected even numbers, the first at most the second, and half as many factors or none";
  EXPECT_EQ(complaint(Rope{.head_dim = 5}), "RoPE rotates 5 entries of heads of 5 with 0 and 0 factors" + expected);
  EXPECT_EQ(complaint(Rope{.head_dim = 0}), "RoPE rotates 0 entries of heads of 0 with 0 and 0 factors" + expected);
  EXPECT_EQ(complaint(Rope{.head_dim = 6, .rotated_dim = 3}),
            "RoPE rotates 3 entries of heads of 6 with 0 and 0 factors" + expected);
  EXPECT_EQ(complaint(Rope{.head_dim = 6, .rotated_dim = 8}),
            "RoPE rotates 8 entries of heads of 6 with 0 and 0 factors" + expected);
  EXPECT_EQ(complaint(Rope{.head_dim = 6, .rotated_dim = 4, .factors = {1.0, 1.0, 1.0}}),
            "RoPE rotates 4 entries of heads of 6 with 3 and 0 factors" + expected);
  // Even if the sequences are too short for the long factors.
  EXPECT_EQ(complaint(Rope{.head_dim = 6, .original_positions = 4, .long_factors = {1.0}}),
            "RoPE rotates 6 entries of heads of 6 with 0 and 1 factors" + expected);
}

}  // namespace
}  // namespace hessian::tests
