#include "hessian/overflow.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "random_problems.h"

namespace hessian::tests {
namespace {

/// y = LayerNorm(RMSNorm(W x)), and a gate of the result with itself.
struct TwoNorms {
  TwoNorms() {
    program.n_inputs = 1;
    mapped = program.push(Linear{"map", ""}, {0});
    normed = program.push(RmsNorm{"first", 1e-5}, {mapped});
    last = program.push(LayerNorm{"second", "", 1e-5}, {normed});
    program.output = program.push(SiluGate{}, {last, last});
  }
  Program program;
  ValueId mapped = 0;
  ValueId normed = 0;
  ValueId last = 0;
};

TEST(Overflow, FindsInputsOfNormsWhoseSumOfSquaresExceedsThePrecision) {
  const TwoNorms given;
  // 16 squares of 0.99 and 1.01 times the root of a sixteenth of the largest number.
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const double largest = dtype == at::kDouble ? std::numeric_limits<double>::max()
                                                : static_cast<double>(std::numeric_limits<float>::max());
    at::Tensor x = at::ones({2, 3, 16}, at::kDouble);
    x[1][2].fill_(0.99 * std::sqrt(largest / 16));
    EXPECT_FALSE(find_overflow(given.program, given.mapped, x.to(dtype)));
    x[1][2].fill_(-1.01 * std::sqrt(largest / 16));
    const auto found = find_overflow(given.program, given.mapped, x.to(dtype));
    ASSERT_TRUE(found) << dtype;
    EXPECT_EQ(found->place, "the input of RMSNorm 'first'");
    EXPECT_TRUE(found->finite);
    EXPECT_NEAR(found->largest / (1.01 * std::sqrt(largest / 16)), 1, 0.01);
    EXPECT_EQ(find_overflow(given.program, given.normed, x.to(dtype))->place, "the input of LayerNorm 'second'");
    // No norm reads it. A single large entry of a row is not enough.
    EXPECT_FALSE(find_overflow(given.program, given.last, x.to(dtype)));
    x[1][2].fill_(1);
    x[0][0][5] = 0.9 * std::sqrt(largest);
    EXPECT_FALSE(find_overflow(given.program, given.mapped, x.to(dtype)));
  }
}

TEST(Overflow, SumsTheSquaresOfEachHeadOfANorm) {
  Program program;
  program.n_inputs = 1;
  program.output = program.push(RmsNorm{"heads", 1e-5, 2}, {0});
  const double limit = std::sqrt(static_cast<double>(std::numeric_limits<float>::max()));
  at::Tensor x = at::ones({1, 2, 8}, at::kFloat);
  // Squares of 0.9 of the largest number, in each head and in both heads of a row.
  x[0][0][1] = std::sqrt(0.9) * limit;
  x[0][0][5] = std::sqrt(0.9) * limit;
  EXPECT_FALSE(find_overflow(program, 0, x));
  x[0][0][4] = std::sqrt(0.2) * limit;
  const auto found = find_overflow(program, 0, x);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->place, "the input of RMSNorm 'heads'");
}

TEST(Overflow, NamesPrimitivesWithoutParameters) {
  const at::Tensor x = at::full({1, 2, 4}, std::nan(""), at::kFloat);
  const auto place_of = [&x](const Operation& operation) {
    Program program;
    program.n_inputs = 1;
    program.output = program.push(operation, {0, 0});
    return find_overflow(program, program.output, x)->place;
  };
  EXPECT_EQ(place_of(GeluGate{}), "the result of the GELU gate");
  EXPECT_EQ(place_of(Scale{2.0}), "the result of a multiple");
  EXPECT_EQ(place_of(SoftCap{2.0}), "the result of the soft cap");
}

TEST(Overflow, FindsValuesThatAreNotFiniteAndNamesTheirParameters) {
  const TwoNorms given;
  for (const double value :
       {std::nan(""), std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()}) {
    at::Tensor x = at::ones({1, 2, 4}, at::kFloat);
    x[0][1][3] = value;
    const auto found = find_overflow(given.program, given.mapped, x);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->place, "the result of linear map 'map'");
    EXPECT_FALSE(found->finite);
    EXPECT_EQ(found->parameters, std::vector<std::string>{"map"});
    EXPECT_EQ(find_overflow(given.program, given.program.output, x)->place, "the result of the SiLU gate");
    EXPECT_EQ(find_overflow(given.program, 0, x)->place, "an input");
  }
  EXPECT_FALSE(find_overflow(given.program, given.mapped, at::ones({2, 3}, at::kLong)));
}

}  // namespace
}  // namespace hessian::tests
