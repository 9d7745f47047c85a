#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>

#include <array>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "hessian/evaluate.h"
#include "kernels/autocast.h"
#include "kernels/fused/functions.h"
#include "program/program_steps.h"
#include "random_problems.h"
#include "refusal.h"

// Compares a linear map and the RMSNorm after it as one node of autograd with the two separate steps.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;
using support::refusal_of;

/// A norm whose result two maps read, each followed by its own norm, and the step that joins both.
struct Problem {
  Program program;
  Parameters parameters;
  at::Tensor x;

  Problem(Random& random, int64_t in, int64_t out, Operation join = Add{}) : x(random.normal({2, 5, in})) {
    program.n_inputs = 1;
    parameters.add("g", random.normal({in}));
    const ValueId stream = program.push(RmsNorm{"g"}, {0});
    std::array<ValueId, 2> branches{};
    for (const std::string name : {"a", "b"}) {
      parameters.add(name, random.normal({out, in}));
      parameters.add(name + "g", random.normal({out}));
      const ValueId map = program.push(Linear{name, ""}, {stream});
      branches[name == "a" ? 0 : 1] = program.push(RmsNorm{name + "g", 0.1}, {map});
    }
    program.output = program.push(std::move(join), {branches[0], branches[1]});
  }

  /// Replaces all tensors by new variables of this type with the same numbers.
  void become(at::ScalarType dtype) {
    const auto variable = [dtype](const at::Tensor& tensor) {
      return tensor.detach().to(dtype, false, true).requires_grad_(true);
    };
    x = variable(x);
    Parameters renewed;
    for (const auto& [name, tensor] : parameters) {
      renewed.add(name, variable(tensor));
    }
    parameters = renewed;
  }

  std::vector<at::Tensor> variables() const {
    std::vector<at::Tensor> all = {x};
    for (const auto& [name, tensor] : parameters) {
      all.push_back(tensor);
    }
    return all;
  }

  at::Tensor value(Derivatives derivatives) const {
    EvaluateOptions options;
    options.derivatives = derivatives;
    return evaluate(program, parameters, std::array{x}, options);
  }

  /// Returns the value, and the gradients of its product with a direction, in float64.
  std::vector<at::Tensor> everything(Derivatives derivatives, const at::Tensor& direction,
                                     at::ScalarType products) const {
    at::Tensor y;
    {
      const AutocastScope autocast(x.device().type(), products);
      y = value(derivatives);
    }
    auto all = torch::autograd::grad({y}, variables(), {direction.to(y.scalar_type())});
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_EQ(all[i].scalar_type(), x.scalar_type()) << "gradient " << i;
    }
    all.insert(all.begin(), y);
    for (at::Tensor& tensor : all) {
      tensor = tensor.detach().to(at::kDouble);
    }
    return all;
  }
};

/// Returns the largest difference relative to the largest entry of each tensor.
double difference(const std::vector<at::Tensor>& found, const std::vector<at::Tensor>& expected) {
  double worst = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    worst = std::max(worst, largest(found[i] - expected[i]) / largest(expected[i]));
  }
  return worst;
}

const std::string refusal = "SimpleNorm for training has no second derivative; evaluate with Derivatives::any";

std::vector<bool> found_in(const Program& program) {
  return simple_norms(program, needed_steps(program, [](ValueId) { return false; }));
}

void expect_agreement(const Operation& join) {
  for (const auto& [in, out] : std::vector<std::pair<int64_t, int64_t>>{{3, 5}, {16, 24}, {33, 40}}) {
    SCOPED_TRACE(std::to_string(in) + " to " + std::to_string(out));
    Random random(static_cast<uint64_t>(in));
    Problem problem(random, in, out, join);
    const at::Tensor direction = random.normal({2, 5, out});
    problem.become(at::kDouble);
    const auto expected = problem.everything(Derivatives::any, direction, at::kDouble);
    // Sums of a few dozen terms of order one, with rounding units of 1e-16 and 6e-8.
    EXPECT_LT(difference(problem.everything(Derivatives::first, direction, at::kDouble), expected), 1e-13);
    problem.become(at::kFloat);
    EXPECT_LT(difference(problem.everything(Derivatives::first, direction, at::kFloat), expected), 1e-5);
    // Operands, results of the maps and their gradients are rounded by 2^-9 each; the gradients are sums of dozens of
    // terms of either sign.
    const auto rounded = problem.everything(Derivatives::first, direction, at::kBFloat16);
    EXPECT_LT(difference(rounded, expected), 0.03);
    EXPECT_GT(difference(rounded, expected), 1e-4) << "nothing was rounded";
  }
}

TEST(SimpleNorm, AgreesWithSeparateMapAndNormInValueAndGradients) {
  expect_agreement(Add{});
}

TEST(SimpleNorm, AgreesWithTheSeparateStepsOfAGateInValueAndGradients) {
  expect_agreement(SiluGate{});
}

TEST(SimpleNorm, LeavesAGeluGateASeparateStep) {
  expect_agreement(GeluGate{});
  Random random(12);
  const Problem problem(random, 4, 6, GeluGate{});
  EXPECT_EQ(simple_norm_gates(problem.program, std::vector<bool>(6, true)), std::vector<bool>(6, false));
  EXPECT_TRUE(found_in(problem.program)[1]);
}

// The fused kernel normalises the whole width and reads the gain as it is stored.
TEST(SimpleNorm, IsNotUsedForANormOfHeadsOrWithAnOffset) {
  Random random(13);
  Problem problem(random, 4, 6);
  std::get<RmsNorm>(problem.program.steps[2].operation).gain_offset = 1;
  std::get<RmsNorm>(problem.program.steps[4].operation) = RmsNorm{"heads", 0.1, 2};
  EXPECT_EQ(found_in(problem.program), std::vector<bool>(6, false));
  problem.program.steps[4].inputs = {4};
  problem.parameters = {};
  for (const std::string name : {"a", "b"}) {
    problem.parameters.add(name, random.normal({6, 4}));
  }
  problem.parameters.add("g", random.normal({4}));
  problem.parameters.add("ag", random.normal({6}));
  problem.parameters.add("heads", random.normal({3}));
  problem.become(at::kDouble);
  const at::Tensor direction = random.normal({2, 5, 6});
  const auto expected = problem.everything(Derivatives::any, direction, at::kDouble);
  EXPECT_LT(difference(problem.everything(Derivatives::first, direction, at::kDouble), expected), 1e-13);
  problem.become(at::kFloat);
  const auto rounded = problem.everything(Derivatives::first, direction, at::kBFloat16);
  EXPECT_LT(difference(rounded, expected), 0.03);
  EXPECT_GT(difference(rounded, expected), 1e-4) << "nothing was rounded";
}

TEST(SimpleNorm, GateOfTwoIsOneNodeThatAgreesWithTheSeparateSteps) {
  constexpr double eps = 0.1;
  Random random(9);
  std::vector<at::Tensor> variables;
  for (const std::vector<int64_t>& shape :
       std::vector<std::vector<int64_t>>{{2, 5, 16}, {24, 16}, {24}, {24, 16}, {24}}) {
    variables.push_back(random.normal(shape).requires_grad_(true));
  }
  const auto& [x, gate_weight, gate_gain, up_weight, up_gain] =
      std::tie(variables[0], variables[1], variables[2], variables[3], variables[4]);
  const auto norm = [&x = x](const at::Tensor& weight, const at::Tensor& gain) {
    const at::Tensor y = at::linear(x, weight);
    return y * (y.square().mean(-1, true) + eps).rsqrt() * gain;
  };
  const at::Tensor apart = at::silu(norm(gate_weight, gate_gain)) * norm(up_weight, up_gain);
  const at::Tensor joined = fused::simple_norm_gate({x, gate_weight, gate_gain, eps}, {x, up_weight, up_gain, eps});
  EXPECT_LT(largest(joined - apart), 1e-13);
  const at::Tensor direction = random.normal({2, 5, 24});
  EXPECT_LT(difference(torch::autograd::grad({joined}, variables, {direction}),
                       torch::autograd::grad({apart}, variables, {direction})),
            1e-13);
}

TEST(SimpleNorm, IsFusedWithAGateThatIsTheOnlyReaderOfTwo) {
  Random random(8);
  const Problem problem(random, 4, 6, SiluGate{});
  const auto gates_in = [](const Program& program) {
    return simple_norm_gates(program, needed_steps(program, [](ValueId) { return false; }));
  };
  EXPECT_EQ(gates_in(problem.program), (std::vector<bool>{false, true, false, false, false, false}));
  EXPECT_EQ(gates_in(Problem(random, 4, 6).program), std::vector<bool>(6, false));
  Program read_twice = problem.program;
  read_twice.output = read_twice.push(Add{}, {3, read_twice.output});
  EXPECT_EQ(gates_in(read_twice), std::vector<bool>(7, false));
  EXPECT_TRUE(found_in(read_twice)[1]);
  Program turned = problem.program;
  turned.steps.back().inputs = {5, 3};
  EXPECT_EQ(gates_in(turned), std::vector<bool>(6, false));
}

// Maps of two different values, whose gradients must stay separate.
TEST(SimpleNorm, OfAGateMayReadTwoValues) {
  Random random(9);
  Problem problem(random, 5, 6, SiluGate{});
  problem.program.steps[3].inputs = {0};
  const at::Tensor direction = random.normal({2, 5, 6});
  for (const auto& [dtype, tolerance] : {std::pair{at::kDouble, 1e-13}, std::pair{at::kFloat, 1e-5}}) {
    problem.become(dtype);
    const auto expected = problem.everything(Derivatives::any, direction, dtype);
    EXPECT_LT(difference(problem.everything(Derivatives::first, direction, dtype), expected), tolerance);
  }
}

TEST(SimpleNorm, OfAGateRefusesASecondDerivative) {
  Random random(10);
  Problem problem(random, 4, 6, SiluGate{});
  problem.become(at::kDouble);
  const auto map = [&problem](const std::string& name) -> fused::SimpleNormOperand {
    return {problem.x, problem.parameters.at(name), problem.parameters.at(name + "g"), 0.1};
  };
  const at::Tensor y = fused::simple_norm_gate(map("a"), map("b"));
  EXPECT_EQ(refusal_of([&] { torch::autograd::grad({y.square().sum()}, {problem.x}, {}, true, true); }), refusal);
}

TEST(SimpleNorm, IsUsedByEvaluateForAMapAndTheNormAfterIt) {
  Random random(1);
  Problem problem(random, 4, 6);
  problem.become(at::kDouble);
  const auto second = [&] {
    return refusal_of([&] {
      torch::autograd::grad({problem.value(Derivatives::first).square().sum()}, {problem.x}, {}, true, true);
    });
  };
  EXPECT_EQ(second(), refusal);
  EXPECT_EQ(found_in(problem.program), (std::vector<bool>{false, true, false, true, false, false}));
}

TEST(SimpleNorm, IsNotUsedIfTheResultOfTheMapHasOtherReaders) {
  Random random(2);
  const Problem problem(random, 4, 4);
  Program read_twice = problem.program;
  read_twice.output = read_twice.push(Add{}, {2, read_twice.output});
  EXPECT_FALSE(found_in(read_twice)[1]);
  EXPECT_TRUE(found_in(read_twice)[3]);
  Program is_output = problem.program;
  is_output.output = 2;
  EXPECT_FALSE(found_in(is_output)[1]);
  Program with_bias = problem.program;
  std::get<Linear>(with_bias.steps[1].operation).bias = "bias";
  EXPECT_FALSE(found_in(with_bias)[1]);
}

TEST(SimpleNorm, ShowsTheResultOfTheMapToAnObserver) {
  Random random(3);
  Problem problem(random, 4, 6);
  problem.become(at::kDouble);
  std::vector<ValueId> seen;
  EvaluateOptions options;
  options.derivatives = Derivatives::first;
  options.observe = [&](ValueId value, const at::Tensor& tensor) {
    seen.push_back(value);
    EXPECT_TRUE(tensor.defined());
  };
  const at::Tensor y = evaluate(problem.program, problem.parameters, std::array{problem.x}, options);
  EXPECT_EQ(seen, (std::vector<ValueId>{1, 2, 3, 4, 5, 6}));
  EXPECT_LT(largest(y - problem.value(Derivatives::first)), 1e-13);
}

TEST(SimpleNorm, UsesAnOverrideOfTheResultOfTheMap) {
  Random random(4);
  Problem problem(random, 4, 6);
  problem.become(at::kDouble);
  EvaluateOptions options;
  options.overrides[2] = random.normal({2, 5, 6});
  const at::Tensor expected = evaluate(problem.program, problem.parameters, std::array{problem.x}, options);
  options.derivatives = Derivatives::first;
  const at::Tensor found = evaluate(problem.program, problem.parameters, std::array{problem.x}, options);
  EXPECT_LT(largest(found - expected), 1e-13);
  EXPECT_GT(largest(found - problem.value(Derivatives::first)), 0.1);
}

// Two maps that read the same value keep one rounded copy of it: their gradients are added before they are widened again,
// so that autograd has one conversion node for both.
TEST(SimpleNorm, SharesTheRoundedCopyOfAValueThatSeveralMapsRead) {
  Random random(5);
  Problem problem(random, 8, 8);
  problem.become(at::kFloat);
  const AutocastScope autocast(at::kCPU, at::kBFloat16);
  const at::Tensor y = problem.value(Derivatives::first);
  const auto& sum = y.grad_fn();
  ASSERT_EQ(sum->num_outputs(), 2U);
  const auto* const first = sum->next_edge(0).function->next_edge(0).function.get();
  const auto* const second = sum->next_edge(1).function->next_edge(0).function.get();
  EXPECT_EQ(first, second);
  EXPECT_THAT(first->name(), testing::HasSubstr("ToCopy"));
}

TEST(SimpleNorm, ComputesNoGradientThatIsNotNeeded) {
  Random random(6);
  Problem problem(random, 4, 6);
  problem.become(at::kDouble);
  const auto all = torch::autograd::grad({problem.value(Derivatives::any).sum()}, problem.variables());
  problem.x = problem.x.detach();
  const auto some = torch::autograd::grad({problem.value(Derivatives::first).sum()}, {problem.parameters.at("a")});
  EXPECT_LT(largest(some[0] - all[2]), 1e-12);
}

TEST(SimpleNorm, RefusesAWeightOfTheWrongShape) {
  Random random(7);
  Problem problem(random, 4, 6);
  problem.x = random.normal({2, 5, 4});
  Parameters wrong;
  for (const auto& [name, tensor] : problem.parameters) {
    wrong.add(name, name == "a" ? random.normal({6, 3}) : tensor);
  }
  EvaluateOptions options;
  options.derivatives = Derivatives::first;
  EXPECT_EQ(
      refusal_of<std::invalid_argument>([&] { evaluate(problem.program, wrong, std::array{problem.x}, options); }),
      "weight is [6, 3], expected [6, 4]");
}

}  // namespace
}  // namespace hessian::tests
