#include "hessian/finite_difference.h"

#include <gtest/gtest.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "random_problems.h"
#include "refusal.h"

using hessian::central_difference_product;
using hessian::HessianOperator;
using hessian::ProblemFunction;
using hessian::ProblemIndices;
using hessian::relative_difference;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

/// An RMSNorm whose backward records no graph, like a fused kernel's: gradients are right, second derivatives wrong, and
/// nothing raises an error.
class FusedRmsNorm : public torch::autograd::Function<FusedRmsNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    context->save_for_backward({x});
    return x / x.square().mean(-1, true).sqrt();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const at::Tensor x = context->get_saved_variables()[0].detach();
    const at::Tensor g = gradients[0].detach();
    const at::Tensor rms = x.square().mean(-1, true).sqrt();
    return {g / rms - x * (g * x).mean(-1, true) / rms.pow(3)};
  }
};

at::Tensor rms_norm(const at::Tensor& x) {
  return x / x.square().mean(-1, true).sqrt();
}

/// Returns the sum of cos(x + f(norm(x))): with this residual form a broken norm raises no error.
template <class Norm>
ProblemFunction residual_form(const Norm& norm, const at::Tensor& weight) {
  return
      [=](const at::Tensor& x, const ProblemIndices&) { return (x + at::matmul(norm(x), weight).tanh()).cos().sum(1); };
}

at::Tensor hessian_product(const ProblemFunction& f, const at::Tensor& x, const at::Tensor& v) {
  return HessianOperator(f, x).apply(v.unsqueeze(1)).squeeze(1);
}

TEST(CentralDifferenceProduct, IsAccurateForAKnownHessian) {
  // f = sum exp(x_i) x_(i+1): products in closed form, at points and along directions of very different sizes.
  Random random(1);
  const ProblemFunction f = [](const at::Tensor& x, const ProblemIndices&) { return (x.exp() * x.roll(-1, 1)).sum(1); };
  for (const double size : {0.1, 1.0, 4.0}) {
    for (const double length : {1e-6, 1.0, 1e6}) {
      SCOPED_TRACE("x of size " + std::to_string(size) + ", v of length " + std::to_string(length) + ", seed 1");
      const at::Tensor x = size * random.normal({3, 6});
      const at::Tensor v = length * random.normal({3, 6});
      const at::Tensor expected =
          x.exp() * x.roll(-1, 1) * v + x.exp() * v.roll(-1, 1) + x.roll(1, 1).exp() * v.roll(1, 1);
      EXPECT_LT(largest(relative_difference(central_difference_product(f, x, v), expected)), 1e-7);
    }
  }
}

TEST(CentralDifferenceProduct, IsExactForAQuadraticWithAnyStepEvenAtZero) {
  Random random(2);
  const at::Tensor a = random.symmetric(1, 5)[0];
  const ProblemFunction f = [a](const at::Tensor& x, const ProblemIndices&) {
    return (x * at::matmul(x, a)).sum(1) / 2 +
           x.sum(1);  // if the step is too small, rounding of the constant gradient exceeds the differences
  };
  const at::Tensor v = random.normal({2, 5});
  const at::Tensor expected = at::matmul(v, a);
  for (const at::Tensor& x : {random.normal({2, 5}), at::zeros({2, 5}, at::kDouble)}) {
    EXPECT_LT(largest(central_difference_product(f, x, v) - expected), 1e-9);
  }
}

TEST(CentralDifferenceProduct, TakesAZeroDirectionAndOneValuePerProblem) {
  const ProblemFunction f = [](const at::Tensor& x, const ProblemIndices&) {
    return x.pow(3).reshape({x.size(0), -1}).sum(1);
  };
  Random random(3);
  const at::Tensor x = random.normal({2, 4});
  EXPECT_EQ(largest(central_difference_product(f, x, at::zeros_like(x))), 0.0);
  const at::Tensor one = random.normal({5});
  const at::Tensor v = random.normal({5, 1});
  EXPECT_LT(largest(central_difference_product(f, one, v).flatten() - 6 * one * v.flatten()), 1e-7);
}

TEST(CentralDifferenceProduct, RefusesDirectionsOfAnotherShape) {
  const ProblemFunction f = [](const at::Tensor& x, const ProblemIndices&) { return x.flatten(1).sum(1); };
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              central_difference_product(f, at::zeros({2, 3, 4}, at::kDouble), at::zeros({2, 11}, at::kDouble));
            }),
            "directions are [2, 11], expected [2, 12]");
}

TEST(CentralDifferenceProduct, ConfirmsARightSecondDerivative) {
  Random random(4);
  const at::Tensor x = random.normal({4, 8});
  const at::Tensor v = random.normal({4, 8});
  const ProblemFunction f = residual_form(rms_norm, random.normal({8, 8}));
  EXPECT_LT(largest(relative_difference(hessian_product(f, x, v), central_difference_product(f, x, v))), 1e-7);
}

TEST(CentralDifferenceProduct, ExposesABackwardWithoutAGraph) {
  Random random(5);
  const at::Tensor x = random.normal({4, 8});
  const at::Tensor v = random.normal({4, 8});
  const at::Tensor weight = random.normal({8, 8});
  const ProblemFunction right = residual_form(rms_norm, weight);
  const ProblemFunction wrong = residual_form([](const at::Tensor& y) { return FusedRmsNorm::apply(y); }, weight);
  const ProblemIndices problems = hessian::all_problems(4);
  EXPECT_LT(largest(hessian::value_and_gradient(wrong, x, problems).gradient -
                    hessian::value_and_gradient(right, x, problems).gradient),
            1e-12)
      << "the first gradient is right, which is what makes it treacherous";
  const at::Tensor difference =
      relative_difference(hessian_product(wrong, x, v), central_difference_product(wrong, x, v));
  EXPECT_GT(difference.min().item<double>(), 1e-2);
}

TEST(RelativeDifference, IsRelativeToTheLargerOfTheTwo) {
  const at::Tensor a = at::tensor({3.0, 4.0, 0.0, 0.0, 1.0, 0.0}, at::kDouble).view({3, 2});
  const at::Tensor b = at::tensor({0.0, 0.0, 0.0, 0.0, 0.0, 1.0}, at::kDouble).view({3, 2});
  const at::Tensor difference = relative_difference(a, b);
  EXPECT_EQ(difference[0].item<double>(), 1.0);
  EXPECT_EQ(difference[1].item<double>(), 0.0) << "zero agrees with zero";
  EXPECT_NEAR(difference[2].item<double>(), std::sqrt(2.0), 1e-15);
  EXPECT_TRUE(at::equal(difference, relative_difference(b, a)));
  EXPECT_LT(largest(relative_difference(1e-100 * a, 1e-100 * b) - difference), 1e-15);
}

TEST(RelativeDifference, NeverTakesNonFiniteNumbersForAgreement) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const at::Tensor a = at::tensor({bad, 1.0}, at::kDouble).view({1, 2});
    EXPECT_FALSE(relative_difference(a, at::ones({1, 2}, at::kDouble)).item<double>() < 0.5);
    EXPECT_FALSE(relative_difference(a, a).item<double>() < 0.5);
  }
}

TEST(RelativeDifference, MixesPrecisionsAndShapesOfTheProblems) {
  const at::Tensor a = Random(6).normal({2, 3, 4});
  const at::Tensor difference = relative_difference(a.to(at::kFloat), a.flatten(1));
  EXPECT_EQ(difference.scalar_type(), at::kDouble);
  EXPECT_GT(difference.min().item<double>(), 0.0);
  EXPECT_LT(largest(difference), 1e-7);
}

}  // namespace
}  // namespace hessian::tests
