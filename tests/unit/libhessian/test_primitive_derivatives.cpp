#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "hessian/evaluate.h"
#include "hessian/finite_difference.h"
#include "primitive_cases.h"
#include "random_problems.h"

namespace hessian::tests {
namespace {

using support::largest;
using support::PrimitiveCase;
using support::Random;

std::vector<at::Tensor> split(const at::Tensor& x, const std::vector<int64_t>& widths) {
  return at::split_with_sizes(x, widths, 2);
}

/// One primitive in front of a random functional, as a function of all of its activations, concatenated.
class SmoothPrimitive : public testing::TestWithParam<PrimitiveCase> {};

TEST_P(SmoothPrimitive, HasSecondDerivativesThatAgreeWithDifferencesOfTheGradient) {
  const PrimitiveCase& chosen = GetParam();
  for (uint64_t seed = 0; seed < 5; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    const Parameters parameters = support::primitive_parameters(random);
    int64_t width = 0;
    for (const int64_t w : chosen.widths) {
      width += w;
    }
    const at::Tensor x = random.normal({3, random.integer(1, 5), width});
    const at::Tensor functional = random.normal({x.size(1), 12});
    // The sine of a random functional: its curvature tests the Jacobian, its slope the curvature of the primitive.
    const ProblemFunction f = [&](const at::Tensor& activation, const ProblemIndices&) {
      const at::Tensor y = apply_operation(chosen.operation, parameters, split(activation, chosen.widths));
      return (y * functional.narrow(1, 0, y.size(2))).sum(2).sin().sum(1);
    };
    const at::Tensor v = random.normal({3, x.size(1) * width});
    const at::Tensor product = HessianOperator(f, x).apply(v.unsqueeze(1)).squeeze(1);
    EXPECT_GT(largest(product), 1e-3);
    // Differences have an error of rounding^(2/3), 4e-11, times third derivatives up to a thousand times the second.
    EXPECT_LT(largest(relative_difference(product, central_difference_product(f, x, v))), 1e-7);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SmoothPrimitive, testing::ValuesIn(support::primitive_cases()),
                         [](const auto& instance) { return instance.param.name; });

TEST(CrossEntropyHead, HasTheHessianOfSoftmaxInClosedForm) {
  // d2/dx2 = W^T (diag p - p p^T) W / T at each position, zero between positions, whatever the targets.
  Random random(1);
  const at::Tensor w = random.normal({7, 4});
  Parameters parameters;
  parameters.add("w", w);
  const at::Tensor x = random.normal({1, 3, 4});
  const at::Tensor targets = random.integers(0, 7, {1, 3});
  const HessianOperator op(
      [&](const at::Tensor& y, const ProblemIndices&) {
        return apply_operation(CrossEntropyHead{"w"}, parameters, std::array{y, targets});
      },
      x);
  at::Tensor expected = at::zeros({3, 4, 3, 4}, at::kDouble);
  for (int64_t t = 0; t < 3; ++t) {
    const at::Tensor p = at::softmax(at::mv(w, x[0][t]), 0);
    const at::Tensor middle = at::diag(p) - at::outer(p, p);
    expected.select(0, t).select(1, t).copy_(at::matmul(at::matmul(w.t(), middle), w) / 3);
  }
  const at::Tensor identity = at::eye(12, at::kDouble).unsqueeze(0);
  EXPECT_LT(largest(op.apply(identity)[0] - expected.view({12, 12})), 1e-13);
}

// In narrow precisions, statistics are computed in float32: the only error is the rounding of the result. In sums of
// bfloat16 (unit 2^-8), the error would grow with the width.
TEST(Precision, StatisticsOfBfloat16ActivationsAreTakenInFloat32) {
  Random random(2);
  const int64_t width = 4096;
  const at::Tensor x = (random.normal({2, 3, width}) + 1).to(at::kBFloat16);
  Parameters parameters;
  parameters.add("g", at::ones({width}, at::kBFloat16));
  parameters.add("b", at::zeros({width}, at::kBFloat16));
  parameters.add("small", 0.01 * random.normal({width / 4}, at::kBFloat16));
  Parameters exact = parameters.to(at::kCPU, at::kDouble);
  const auto error = [&](const Operation& operation) {
    const at::Tensor y = apply_operation(operation, parameters, std::array{x});
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    const at::Tensor reference = apply_operation(operation, exact, std::array{x.to(at::kDouble)});
    return largest((y.to(at::kDouble) - reference) / reference.abs().clamp_min(1e-2));
  };
  EXPECT_LT(error(RmsNorm{"g"}), 0.5 / 128 * 1.01);  // half a unit in the last of 8 binary digits
  EXPECT_LT(error(RmsNorm{"small", 1e-5, 4}), 0.5 / 128 * 1.01 + 0.5 / 128);  // the norm and its product with the gain
  // In bfloat16, the sum of 1 and a gain of 0.01 would be off by half a unit itself.
  EXPECT_LT(error(RmsNorm{"small", 1e-5, 4, 1.0}), 0.5 / 128 * 1.01);
  EXPECT_LT(error(LayerNorm{"g", "b"}), 0.5 / 128 * 1.01);
}

TEST(Precision, SoftCapsOfBfloat16ActivationsAreRoundedOnce) {
  const at::Tensor x = (20 * Random(6).normal({2, 3, 500})).to(at::kBFloat16);
  for (const Derivatives derivatives : {Derivatives::any, Derivatives::first}) {
    const at::Tensor y = apply_operation(SoftCap{30.0}, {}, std::array{x}, Numerics::wide, derivatives);
    EXPECT_EQ(y.scalar_type(), at::kBFloat16);
    const at::Tensor reference = apply_operation(SoftCap{30.0}, {}, std::array{x.to(at::kDouble)});
    EXPECT_LT(largest((y.to(at::kDouble) - reference) / reference), 0.5 / 128 * 1.01);
  }
}

TEST(Precision, SoftmaxAndCrossEntropyOfBfloat16AreTakenInFloat32) {
  Random random(3);
  // A long flat softmax: a sum of 300 ones in bfloat16 would stop at 256.
  const int64_t positions = 300;
  const at::Tensor q = at::zeros({1, positions, 4}, at::kBFloat16);
  const at::Tensor v = at::ones({1, positions, 4}, at::kBFloat16);
  const at::Tensor mixed = apply_operation(CausalAttention{1, 1}, {}, std::array{q, q, v});
  EXPECT_EQ(mixed.scalar_type(), at::kBFloat16);
  EXPECT_LT(largest(mixed.to(at::kDouble) - 1), 0.01);

  Parameters parameters;
  parameters.add("w", at::zeros({300, 4}, at::kBFloat16));
  const at::Tensor targets = random.integers(0, 300, {1, positions});
  const at::Tensor loss = apply_operation(CrossEntropyHead{"w"}, parameters, std::array{q, targets});
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_NEAR(loss.item<double>(), std::log(300.0), 1e-5);
}

TEST(Precision, RopeKeepsItsAnglesExactAtLongPositions) {
  // Angles of thousands of radians: a table in bfloat16 or float32 would have errors of 1e-4 and more.
  Random random(4);
  const int64_t positions = 5000;
  const at::Tensor x = random.normal({1, positions, 2}, at::kFloat);
  const at::Tensor y = apply_operation(Rope{2, 10000.0}, {}, std::array{x});
  const at::Tensor reference = apply_operation(Rope{2, 10000.0}, {}, std::array{x.to(at::kDouble)});
  EXPECT_EQ(y.scalar_type(), at::kFloat);
  EXPECT_LT(largest(y.to(at::kDouble) - reference), 2e-6);
  const double angle = positions - 1;
  const double expected =
      x[0][positions - 1][0].item<double>() * std::cos(angle) - x[0][positions - 1][1].item<double>() * std::sin(angle);
  EXPECT_NEAR(reference[0][positions - 1][0].item<double>(), expected, 1e-11);
}

TEST(Precision, Float32InternalsRoundFloat64ActivationsAndWideDoesNot) {
  Random random(5);
  const at::Tensor x = random.normal({2, 5, 6});
  Parameters parameters = support::primitive_parameters(random);
  for (const Operation& operation :
       {Operation(RmsNorm{"g"}), Operation(RmsNorm{"head_gain", 1e-5, 2, 1.0}), Operation(LayerNorm{"g", "shift"}),
        Operation(Rope{6, 30.0}), Operation(Rope{6, 30.0, 4, {0.3, 0.7}, 1.1})}) {
    const at::Tensor wide = apply_operation(operation, parameters, std::array{x}, Numerics::wide);
    const at::Tensor narrow = apply_operation(operation, parameters, std::array{x}, Numerics::float32_internals);
    EXPECT_EQ(narrow.scalar_type(), at::kDouble);
    EXPECT_GT(largest(wide - narrow), 1e-10) << "operation " << operation.index();
    EXPECT_LT(largest(wide - narrow), 1e-5) << "operation " << operation.index();
  }
}

}  // namespace
}  // namespace hessian::tests
