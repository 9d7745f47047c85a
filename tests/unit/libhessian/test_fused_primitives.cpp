#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/evaluate.h"
#include "kernels/fused/rms_norm.h"
#include "kernels/vector_math.h"
#include "random_problems.h"
#include "refusal.h"

using testing::HasSubstr;

// Compares the fused primitives, which have only first derivatives, with those that autograd can differentiate
// repeatedly.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;
using support::refusal_of;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

struct Problem {
  Operation operation;
  std::vector<at::Tensor> inputs;
  Parameters parameters;

  at::Tensor value(Derivatives derivatives) const {
    return apply_operation(operation, parameters, inputs, Numerics::wide, derivatives);
  }

  /// Returns activations and parameters: everything that has a gradient.
  std::vector<at::Tensor> variables() const {
    std::vector<at::Tensor> result;
    std::copy_if(inputs.begin(), inputs.end(), std::back_inserter(result),
                 [](const at::Tensor& x) { return x.is_floating_point(); });
    for (const auto& [name, tensor] : parameters) {
      result.push_back(tensor);
    }
    return result;
  }

  /// Returns the same numbers as new variables of these precisions.
  Problem in(at::ScalarType activations, at::ScalarType weights) const {
    const auto variable = [](const at::Tensor& x, at::ScalarType dtype) {
      return x.is_floating_point() ? x.detach().to(dtype, false, true).requires_grad_(true) : x;
    };
    Problem result{operation, {}, {}};
    for (const at::Tensor& x : inputs) {
      result.inputs.push_back(variable(x, activations));
    }
    for (const auto& [name, tensor] : parameters) {
      result.parameters.add(name, variable(tensor, weights));
    }
    return result;
  }
};

Problem rms_norm(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  Problem problem{RmsNorm{"g", 1e-5}, {random.normal({sequences, positions, width})}, {}};
  problem.parameters.add("g", random.normal({width}));
  return problem;
}

Problem silu_gate(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  const at::Tensor gate = 3 * random.normal({sequences, positions, width});
  return {SiluGate{}, {gate, random.normal({sequences, positions, width})}, {}};
}

Problem rms_norm_of_heads(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  Problem problem{RmsNorm{"g", 1e-5, 3, 1.0}, {random.normal({sequences, positions, 3 * width})}, {}};
  problem.parameters.add("g", random.normal({width}));
  return problem;
}

template <bool tanh_approximation>
Problem gelu_gate(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  const at::Tensor gate = 3 * random.normal({sequences, positions, width});
  return {GeluGate{tanh_approximation}, {gate, random.normal({sequences, positions, width})}, {}};
}

Problem rope_of_parts_of_heads(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  const int64_t head_dim = 2 * (width / 2 + 2);
  std::vector<double> factors(static_cast<std::size_t>(head_dim / 2 - 1), 0.25);
  factors.front() = 1.0;
  const Rope partial{
      .head_dim = head_dim, .theta = 100.0, .rotated_dim = head_dim - 2, .factors = factors, .scale = 1.2};
  return {partial, {random.normal({sequences, positions, 3 * head_dim})}, {}};
}

Problem rope(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  const int64_t head_dim = 2 * (width / 2 + 1);
  return {Rope{head_dim, 100.0}, {random.normal({sequences, positions, 3 * head_dim})}, {}};
}

Problem attention(Random& random, int64_t sequences, int64_t positions, int64_t width) {
  const int64_t kv_heads = random.integer(1, 3);
  const int64_t heads = kv_heads * random.integer(1, 3);
  const auto normal = [&](int64_t n) { return random.normal({sequences, positions, n * width}); };
  return {CausalAttention{heads, kv_heads}, {normal(heads), normal(kv_heads), normal(kv_heads)}, {}};
}

Problem cross_entropy(Random& random, int64_t sequences, int64_t positions, int64_t classes) {
  Problem problem{CrossEntropyHead{"w"},
                  {random.normal({sequences, positions, 2}), random.integers(0, classes, {sequences, positions})},
                  {}};
  problem.parameters.add("w", random.normal({classes, 2}));
  return problem;
}

/// Returns a cross-entropy with the logits as its input: its weight is the identity, so that the product is exact.
Problem cross_entropy_of(const at::Tensor& logits, const at::Tensor& targets) {
  Problem problem{CrossEntropyHead{"w"}, {logits, targets}, {}};
  problem.parameters.add("w", at::eye(logits.size(2), at::kDouble));
  return problem;
}

struct Primitive {
  std::string name;
  Problem (*make)(Random&, int64_t sequences, int64_t positions, int64_t width);
};

class FusedPrimitive : public testing::TestWithParam<Primitive> {};

template <class Check>
void for_random_shapes(const Check& check) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Random random(seed);
    const int64_t sequences = random.integer(1, 3);
    const int64_t positions = seed % 4 == 0 ? 1 : random.integer(2, 70);
    // Widths around the lengths of vector registers, including odd ones.
    const int64_t width = seed % 5 == 0 ? random.integer(1, 8) : random.integer(9, 150);
    SCOPED_TRACE(std::to_string(sequences) + " sequences of " + std::to_string(positions) + ", width " +
                 std::to_string(width) + ", seed " + std::to_string(seed));
    check(random, sequences, positions, width);
  }
}

/// Returns the value, and the gradient of its product with `direction` with respect to each variable, in float64.
std::vector<at::Tensor> value_and_gradients(const Problem& problem, Derivatives derivatives,
                                            const at::Tensor& direction) {
  const at::Tensor y = problem.value(derivatives);
  std::vector<at::Tensor> result =
      torch::autograd::grad({y}, problem.variables(), {direction.expand(y.sizes()).to(y.scalar_type())});
  for (std::size_t i = 0; i < result.size(); ++i) {
    EXPECT_EQ(result[i].scalar_type(), problem.variables()[i].scalar_type());
  }
  result.insert(result.begin(), y.detach());
  for (at::Tensor& x : result) {
    x = x.to(at::kDouble);
  }
  return result;
}

/// Returns the largest difference from the reference in float64, relative to the largest entry of its tensor. A tensor
/// that is zero up to cancellation, such as the gradient with respect to a query that sees one position, is compared
/// with a tenth of the largest tensor.
double error_in(const Problem& problem, at::ScalarType activations, at::ScalarType weights, Random& random) {
  const Problem rounded = problem.in(activations, weights);
  const Problem exact = rounded.in(at::kDouble, at::kDouble);
  const at::Tensor direction = random.normal(exact.value(Derivatives::any).sizes()).to(activations).to(at::kDouble);
  const auto found = value_and_gradients(rounded, Derivatives::first, direction);
  const auto expected = value_and_gradients(exact, Derivatives::any, direction);
  double scale = 0;
  for (const at::Tensor& x : expected) {
    scale = std::max(scale, largest(x));
  }
  double error = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    error = std::max(error, largest(found[i] - expected[i]) / std::max(largest(expected[i]), scale / 10));
  }
  return error;
}

bool has_non_finite(const at::Tensor& x) {
  return !at::isfinite(x).all().item<bool>();
}

const std::string refusal = "has no second derivative; evaluate with Derivatives::any";

TEST_P(FusedPrimitive, AgreesWithTheReferenceInValueAndGradients) {
  for_random_shapes([](Random& random, int64_t sequences, int64_t positions, int64_t width) {
    const Problem problem = GetParam().make(random, sequences, positions, width);
    // Sums have up to a few thousand terms of order one, with rounding units of 1e-16 and 6e-8.
    EXPECT_LT(error_in(problem, at::kDouble, at::kDouble, random), 1e-12);
    EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 1e-5);
    // The unit is 2^-9; attention and cross-entropy round their exponents.
    const bool exponent_is_rounded = GetParam().make == attention || GetParam().make == cross_entropy;
    EXPECT_LT(error_in(problem, at::kBFloat16, at::kBFloat16, random), exponent_is_rounded ? 0.05 : 0.5 / 128 * 1.01);
  });
}

double epsilon_of(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 0x1p-7 : dtype == at::kFloat ? 0x1p-23 : 0x1p-52;
}

TEST_P(FusedPrimitive, GivesTheSameBitsWithOneAndTwoThreads) {
  Random random(7);
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    Problem problem = GetParam().make(random, 3, 200, 65);
    if (GetParam().make == cross_entropy) {  // avoids LibTorch's matrix products, whose bits may differ
      problem = cross_entropy_of(random.normal({3, 200, 65}), problem.inputs[1]);
      problem.parameters = problem.parameters.to(at::kCPU, dtype);
      problem.inputs[0] = problem.inputs[0].to(dtype);
    } else {
      problem = problem.in(dtype, dtype);
    }
    const at::Tensor x = problem.inputs[0].detach().requires_grad_(true);
    problem.inputs[0] = x;
    std::vector<at::Tensor> variables = {x};
    if (problem.parameters.contains("g")) {
      variables.push_back(problem.parameters.at("g"));
    }
    const at::Tensor direction = random.normal(problem.value(Derivatives::first).sizes());
    const auto run = [&](int n) {
      at::set_num_threads(n);
      const at::Tensor y = problem.value(Derivatives::first);
      std::vector<at::Tensor> result = torch::autograd::grad({y}, variables, {direction.to(y.scalar_type())});
      result.push_back(y);
      return result;
    };
    const std::vector<at::Tensor> one = run(1);
    const std::vector<at::Tensor> two = run(2);
    at::set_num_threads(threads);
    // LibTorch's attention uses such products as well.
    const double units = GetParam().make == attention ? 16 : 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
      EXPECT_LE(largest(one[i] - two[i]), units * epsilon_of(dtype) * largest(one[i]))
          << "tensor " << i << " in " << dtype;
    }
  }
}

TEST_P(FusedPrimitive, RefusesSecondDerivatives) {
  Random random(8);
  const Problem problem = GetParam().make(random, 2, 5, 6).in(at::kDouble, at::kDouble);
  at::Tensor residual = at::zeros({}, at::kDouble);
  for (const at::Tensor& x : problem.variables()) {
    residual = residual + x.square().sum();
  }
  const at::Tensor y = problem.value(Derivatives::first).square().sum();
  // LibTorch's attention has another message.
  const std::string expected = GetParam().make == attention ? "not implemented" : refusal;
  const auto differentiate_twice = [&](const at::Tensor& loss) {
    const auto message = support::possible_refusal<std::exception>([&] {
      const auto gradients = torch::autograd::grad({loss}, problem.variables(), {}, true, true);
      at::Tensor squares = at::zeros({}, at::kDouble);
      for (const at::Tensor& gradient : gradients) {
        squares = squares + gradient.square().sum();
      }
      torch::autograd::grad({squares}, problem.variables(), {}, true, false, true);
    });
    return message.value_or("no refusal");
  };
  EXPECT_THAT(differentiate_twice(y), HasSubstr(expected));
  EXPECT_THAT(differentiate_twice(y + residual), HasSubstr(expected));
  // The graph remains usable.
  EXPECT_NO_THROW(torch::autograd::grad({y + residual}, problem.variables()));
}

TEST_P(FusedPrimitive, RecordsNothingUnderNoGrad) {
  Random random(9);
  const Problem problem = GetParam().make(random, 2, 9, 12).in(at::kFloat, at::kFloat);
  const at::Tensor recorded = problem.value(Derivatives::first);
  EXPECT_TRUE(recorded.requires_grad());
  const c10::NoGradGuard no_grad;
  const at::Tensor plain = problem.value(Derivatives::first);
  EXPECT_FALSE(plain.requires_grad());
  EXPECT_TRUE(at::equal(plain, recorded));
}

TEST_P(FusedPrimitive, PropagatesNanAndInfinity) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    for (const double bad : {not_a_number, infinity, -infinity}) {
      SCOPED_TRACE(c10::toString(dtype) + std::string(" with ") + std::to_string(bad));
      for (uint64_t seed = 0; seed < 5; ++seed) {
        Random random(seed);
        Problem problem = GetParam().make(random, 2, 8, 37);
        // Attention gets it in its values: LibTorch's kernel treats a NaN query as one that sees no key.
        const at::Tensor& x = problem.inputs[GetParam().make == attention ? 2 : 0];
        x[0][0][static_cast<int64_t>(seed) % x.size(2)] = bad;
        problem = problem.in(dtype, dtype);
        const at::Tensor y = problem.value(Derivatives::first);
        EXPECT_TRUE(has_non_finite(y));
        EXPECT_FALSE(has_non_finite(y[1]));  // the other sequence
        EXPECT_TRUE(has_non_finite(torch::autograd::grad({y.square().sum()}, {problem.inputs[0]})[0]));
      }
    }
  }
}

TEST_P(FusedPrimitive, AcceptsInputsAndGradientsThatAreNotContiguous) {
  Random random(10);
  Problem problem = GetParam().make(random, 3, 5, 12);
  for (at::Tensor& x : problem.inputs) {
    x = x.transpose(0, 1).contiguous().transpose(0, 1);
  }
  problem = problem.in(at::kDouble, at::kDouble);
  // One number expanded to the shape of the value.
  const at::Tensor direction = random.normal({1});
  const auto found = value_and_gradients(problem, Derivatives::first, direction);
  const auto expected = value_and_gradients(problem, Derivatives::any, direction);
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_LT(largest(found[i] - expected[i]), 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(All, FusedPrimitive,
                         testing::Values(Primitive{"RmsNorm", rms_norm}, Primitive{"RmsNormOfHeads", rms_norm_of_heads},
                                         Primitive{"SiluGate", silu_gate}, Primitive{"GeluGate", gelu_gate<false>},
                                         Primitive{"GeluGateTanh", gelu_gate<true>}, Primitive{"Rope", rope},
                                         Primitive{"RopeOfPartsOfHeads", rope_of_parts_of_heads},
                                         Primitive{"CausalAttention", attention},
                                         Primitive{"CrossEntropyHead", cross_entropy}),
                         [](const auto& instance) { return instance.param.name; });

TEST(FusedRmsNorm, KeepsBfloat16ActivationsWithAFloat32Gain) {
  Random random(11);
  const Problem problem = rms_norm(random, 2, 40, 300);
  EXPECT_EQ(problem.in(at::kBFloat16, at::kFloat).value(Derivatives::first).scalar_type(), at::kBFloat16);
  EXPECT_LT(error_in(problem, at::kBFloat16, at::kFloat, random), 0.5 / 128 * 1.01);
}

// Gemma's norm in training: bfloat16 activations, and a float32 gain of which an offset of 1 is left out.
TEST(FusedRmsNorm, AddsTheOffsetToTheGainWithoutRoundingIt) {
  Random random(20);
  Problem problem = rms_norm_of_heads(random, 2, 40, 300);
  problem.parameters = {};
  problem.parameters.add("g", 0.01 * random.normal({300}));
  for (const at::ScalarType weights : {at::kFloat, at::kBFloat16}) {
    EXPECT_EQ(problem.in(at::kBFloat16, weights).value(Derivatives::first).scalar_type(), at::kBFloat16);
    EXPECT_LT(error_in(problem, at::kBFloat16, weights, random), 0.5 / 128 * 1.01) << weights;
  }
}

TEST(FusedRmsNorm, SumsTheGainsGradientOverManyRows) {
  Random random(12);
  // More rows than groups, and a last group that is shorter.
  const Problem problem = rms_norm(random, 1, 5003, 33);
  EXPECT_LT(error_in(problem, at::kDouble, at::kDouble, random), 1e-12);
  EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 1e-5);
}

// Groups of one row, of several with a shorter last one, and a single group, chosen by either limit.
TEST(RowGroups, DoNotChangeTheGradientsOfGains) {
  Random random(19);
  constexpr int64_t rows = 11;
  constexpr int64_t width = 6;
  const auto variable = [&](at::IntArrayRef shape) { return random.normal(shape).requires_grad_(true); };
  const at::Tensor gate = variable({rows, width});
  const at::Tensor up = variable({rows, width});
  const at::Tensor gate_gain = variable({width});
  const at::Tensor up_gain = variable({width});
  const at::Tensor dy = random.normal({rows, width});
  constexpr double eps = 0.1;
  const auto norm = [](const at::Tensor& x, const at::Tensor& gain) {
    return x * (x.square().mean(-1, true) + eps).rsqrt() * gain;
  };
  const auto plain = torch::autograd::grad({norm(gate, gate_gain)}, {gate, gate_gain}, {dy});
  const auto gated = torch::autograd::grad({at::silu(norm(gate, gate_gain)) * norm(up, up_gain)},
                                           {gate, gate_gain, up, up_gain}, {dy});
  const c10::NoGradGuard no_grad;
  const auto value = fused::rms_norm_value(gate, gate_gain, eps);
  const fused::NormOperand gate_operand{gate, gate_gain, eps};
  const fused::NormOperand up_operand{up, up_gain, eps};
  const auto gated_value = fused::gated_norm_value(gate_operand, up_operand);
  struct Expected {
    fused::RowGroups limits;
    int64_t rows_per_group;
  };
  for (const auto& [limits, per_group] : {Expected{{100, 1}, 1}, Expected{{100, 3 * width}, 3}, Expected{{3, 1}, 4},
                                          Expected{{3, 5 * width}, 5}, Expected{{1, 1}, rows}}) {
    SCOPED_TRACE("groups of " + std::to_string(per_group));
    EXPECT_EQ(limits.rows_per_group(rows, width), per_group);
    const auto found = fused::rms_norm_gradients(dy, gate, gate_gain, value.inverse_rms, limits);
    EXPECT_LT(largest(found.dx - plain[0]), 1e-13);
    EXPECT_LT(largest(found.dgain - plain[1]), 1e-13);
    const auto both = fused::gated_norm_gradients(dy, gate_operand, up_operand, gated_value.inverse_rms, limits);
    EXPECT_LT(largest(both.gate.dx - gated[0]), 1e-13);
    EXPECT_LT(largest(both.gate.dgain - gated[1]), 1e-13);
    EXPECT_LT(largest(both.up.dx - gated[2]), 1e-13);
    EXPECT_LT(largest(both.up.dgain - gated[3]), 1e-13);
  }
}

TEST(FusedRmsNorm, MapsARowOfZerosToZerosWithAFiniteGradient) {
  Random random(13);
  Problem problem = rms_norm(random, 1, 3, 20);
  problem.inputs[0].zero_();
  EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 1e-6);
  EXPECT_EQ(largest(problem.value(Derivatives::first)), 0);
}

TEST(FusedRope, RotatesByTheSameAnglesAfterLongerAndShorterSequences) {
  Random random(18);
  const at::Tensor x = random.normal({1, 100, 6});
  const auto turn = [&](int64_t positions) {
    const Problem problem{Rope{6, 77.0}, {x.narrow(1, 0, positions)}, {}};
    return largest(problem.value(Derivatives::first) - problem.value(Derivatives::any));
  };
  for (const int64_t positions : {5, 9, 100, 1, 64}) {
    EXPECT_LT(turn(positions), 1e-14) << positions << " positions";
  }
}

TEST(FusedGates, SaturateBeyondTheRangeOfExp) {
  Random random(14);
  const at::Tensor gate =
      at::tensor({-1e4, -800.0, -100.0, -88.0, 88.0, 100.0, 800.0, 1e4}, at::kDouble).view({1, 1, 8});
  for (const Operation& operation : {Operation(SiluGate{}), Operation(GeluGate{false}), Operation(GeluGate{true})}) {
    SCOPED_TRACE(operation.index());
    const Problem problem{operation, {gate, random.normal({1, 1, 8})}, {}};
    EXPECT_LT(error_in(problem, at::kDouble, at::kDouble, random), 1e-14);
    EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 1e-6);
  }
}

// Relative to the result itself, also far in the lower tail. The exponent x^2 / 2 is rounded, and with it that many units.
TEST(NormalDistribution, AgreesWithErfcEverywhere) {
  const auto check = []<class T>(T /*zero*/, double low) {
    const auto epsilon = static_cast<double>(std::numeric_limits<T>::epsilon());
    for (int i = 0; i <= 3000; ++i) {
      const auto x = static_cast<T>(low + (9 - low) * i / 3000);
      const auto wide = static_cast<double>(x);
      const auto found = fused::normal_distribution(x);
      const double tolerance = (8 + wide * wide) * epsilon;
      const double distribution = std::erfc(-wide / std::sqrt(2.0)) / 2;
      const double density = std::exp(-wide * wide / 2) / std::sqrt(2 * M_PI);
      EXPECT_NEAR(static_cast<double>(found.distribution) / distribution, 1, tolerance) << wide;
      EXPECT_NEAR(static_cast<double>(found.density) / density, 1, tolerance) << wide;
    }
  };
  check(0.0, -37);
  check(0.0F, -12.5);
}

// LibTorch's operators, which also have second derivatives.
TEST(EntrywisePrimitives, ComputeTheSameForTraining) {
  Random random(21);
  for (const Operation& operation : {Operation(Scale{0.3}), Operation(SoftCap{2.0})}) {
    const Problem problem{operation, {random.normal({2, 3, 7})}, {}};
    EXPECT_LT(error_in(problem, at::kDouble, at::kDouble, random), 1e-15);
    EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 1e-6);
    EXPECT_LT(error_in(problem, at::kBFloat16, at::kBFloat16, random), 0.5 / 128 * 1.01);
  }
}

TEST(FusedCrossEntropy, KeepsItsDigitsForLargeLogits) {
  Random random(15);
  const at::Tensor targets = random.integers(0, 50, {2, 6});
  const at::Tensor noise = random.normal({2, 6, 50});
  for (const at::Tensor& logits : {noise + 1e4, noise - 1e4, noise * 1e4}) {
    const Problem problem = cross_entropy_of(logits, targets);
    EXPECT_LT(error_in(problem, at::kDouble, at::kDouble, random), 1e-11);
    EXPECT_LT(error_in(problem, at::kFloat, at::kFloat, random), 2e-6);
  }
  const Problem narrow = cross_entropy_of(noise * 1e4, targets);
  EXPECT_EQ(narrow.in(at::kBFloat16, at::kBFloat16).value(Derivatives::first).scalar_type(), at::kFloat);
  EXPECT_LT(error_in(narrow, at::kBFloat16, at::kBFloat16, random), 0.5 / 128 * 1.01);
}

TEST(FusedCrossEntropy, GivesAClassOfLogitMinusInfinityNoGradient) {
  at::Tensor logits = Random(16).normal({1, 1, 20});
  logits[0][0][7] = -infinity;
  const at::Tensor x = logits.requires_grad_(true);
  Problem problem = cross_entropy_of(at::zeros({1, 1, 1}, at::kDouble) + 1, at::zeros({1, 1}, at::kLong));
  problem.parameters = {};
  problem.parameters.add("w", x.view({20, 1}));
  const at::Tensor gradient = torch::autograd::grad({problem.value(Derivatives::first)}, {x})[0].flatten();
  EXPECT_EQ(gradient[7].item<double>(), 0);
  EXPECT_LT(largest(gradient.sum()), 1e-15);
}

TEST(FusedCrossEntropy, RefusesATargetThatIsNotAClass) {
  for (const int64_t target : {-100, -1, 4}) {
    const Problem problem =
        cross_entropy_of(at::zeros({1, 2, 4}, at::kDouble), at::tensor({int64_t{0}, target}).view({1, 2}));
    EXPECT_EQ(refusal_of<std::out_of_range>([&] { problem.value(Derivatives::first); }),
              "target " + std::to_string(target) + " is not one of the 4 classes");
  }
}

TEST(FusedPrimitives, AreChosenByEvaluateAndRefuseASecondDerivativeOfAResidualBranch) {
  Program program;
  program.n_inputs = 1;
  const ValueId norm = program.push(RmsNorm{"g"}, {0});
  const ValueId map = program.push(Linear{"w", ""}, {norm});
  program.output = program.push(Add{}, {0, map});
  Random random(17);
  Parameters parameters;
  parameters.add("g", random.normal({6}));
  parameters.add("w", random.normal({6, 6}));
  const at::Tensor x = random.normal({2, 3, 6}).requires_grad_(true);
  EvaluateOptions options;
  const at::Tensor reference = evaluate(program, parameters, std::array{x}, options);
  options.derivatives = Derivatives::first;
  const at::Tensor y = evaluate(program, parameters, std::array{x}, options);
  EXPECT_LT(largest(y - reference), 1e-13);
  EXPECT_EQ(refusal_of([&] { torch::autograd::grad({y.square().sum()}, {x}, {}, true, true); }),
            "RMSNorm for training " + refusal);
}

TEST(FusedPrimitives, RefuseShapesThatDoNotMatch) {
  Parameters parameters;
  parameters.add("g", at::ones({5}));
  parameters.add("w", at::ones({4, 6}));
  const at::Tensor x = at::ones({2, 3, 6});
  const auto complaint = [&](const Operation& operation, const at::Tensor& other) {
    return refusal_of<std::invalid_argument>([&] {
      apply_operation(operation, parameters, std::array{x, other}, Numerics::wide, Derivatives::first);
    });
  };
  EXPECT_EQ(complaint(RmsNorm{"g"}, {}), "gain is [5], expected [6]");
  EXPECT_EQ(complaint(RmsNorm{"g", 1e-5, 2}, {}), "gain is [5], expected [3]");
  EXPECT_EQ(complaint(SiluGate{}, at::ones({2, 3, 5})), "up is [2, 3, 5], expected [2, 3, 6]");
  EXPECT_EQ(complaint(GeluGate{}, at::ones({2, 3, 5})), "up is [2, 3, 5], expected [2, 3, 6]");
  EXPECT_EQ(complaint(CrossEntropyHead{"w"}, at::zeros({2, 4}, at::kLong)), "targets is [2, 4], expected [2, 3]");
  EXPECT_EQ(complaint(Rope{4}, {}),
            "RoPE's input is [2, 3, 6], expected [S, T, width] in heads of 4, an even number that divides the width");
}

TEST(FusedPrimitives, ExcludeFloat32Internals) {
  const std::string message = refusal_of<std::invalid_argument>([] {
    const at::Tensor x = at::ones({1, 1, 2});
    apply_operation(SiluGate{}, {}, std::array{x, x}, Numerics::float32_internals, Derivatives::first);
  });
  EXPECT_EQ(message, "Numerics::float32_internals is for comparisons; it needs Derivatives::any");
}

}  // namespace
}  // namespace hessian::tests
