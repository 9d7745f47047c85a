#include <gtest/gtest.h>

#include <array>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/evaluate.h"
#include "random_problems.h"
#include "refusal.h"

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;
using support::refusal_of;

/// out = w2 (w1 x + x), and a step that the output does not need.
struct Diamond {
  Diamond() {
    program.n_inputs = 1;
    first = program.push(Linear{"w1", ""}, {0});
    joined = program.push(Add{}, {first, 0});
    unused = program.push(Linear{"absent", ""}, {first});
    program.output = program.push(Linear{"w2", ""}, {joined});
    program.sites = {{"joined", joined}};
    parameters.add("w1", w1);
    parameters.add("w2", w2);
  }

  Random random{1};
  at::Tensor w1 = random.normal({4, 4});
  at::Tensor w2 = random.normal({3, 4});
  at::Tensor x = random.normal({2, 5, 4});
  Program program;
  Parameters parameters;
  ValueId first = 0;
  ValueId joined = 0;
  ValueId unused = 0;
};

/// Evaluates with the overrides and returns the values that were computed.
std::vector<ValueId> computed(const Diamond& diamond, const std::map<ValueId, at::Tensor>& overrides) {
  std::vector<ValueId> values;
  EvaluateOptions options;
  options.overrides = overrides;
  options.observe = [&](ValueId id, const at::Tensor& value) {
    EXPECT_TRUE(value.defined());
    values.push_back(id);
  };
  evaluate(diamond.program, diamond.parameters, std::array{diamond.x}, options);
  return values;
}

TEST(Evaluate, RunsTheStepsInOrderAndSkipsThoseThatTheOutputDoesNotNeed) {
  const Diamond d;
  const at::Tensor expected = at::matmul(at::matmul(d.x, d.w1.t()) + d.x, d.w2.t());
  // The unused step reads a parameter that does not exist: computing it would throw.
  EXPECT_LT(largest(evaluate(d.program, d.parameters, std::array{d.x}) - expected), 1e-13);
  EXPECT_EQ(computed(d, {}), (std::vector<ValueId>{d.first, d.joined, d.program.output}));
}

TEST(Evaluate, ShowsEachValueToTheObserver) {
  const Diamond d;
  std::map<ValueId, at::Tensor> seen;
  EvaluateOptions options;
  options.observe = [&](ValueId id, const at::Tensor& value) { seen[id] = value; };
  const at::Tensor output = evaluate(d.program, d.parameters, std::array{d.x}, options);
  EXPECT_LT(largest(seen.at(d.first) - at::matmul(d.x, d.w1.t())), 1e-13);
  EXPECT_LT(largest(seen.at(d.program.sites.at("joined")) - seen.at(d.first) - d.x), 1e-13);
  EXPECT_TRUE(at::equal(seen.at(d.program.output), output));
}

TEST(Evaluate, ReplacesValuesByOverridesAndSkipsStepsNeededOnlyForThem) {
  const Diamond d;
  const at::Tensor given = Random(2).normal({2, 5, 4});
  EXPECT_EQ(computed(d, {{d.joined, given}}), (std::vector<ValueId>{d.program.output}));
  EXPECT_EQ(computed(d, {{d.first, given}}), (std::vector<ValueId>{d.joined, d.program.output}));
  EvaluateOptions options;
  options.overrides = {{d.joined, given}};
  EXPECT_LT(largest(evaluate(d.program, d.parameters, std::array{d.x}, options) - at::matmul(given, d.w2.t())), 1e-13);
  options.overrides = {{d.first, given}};
  EXPECT_LT(largest(evaluate(d.program, d.parameters, std::array{d.x}, options) - at::matmul(given + d.x, d.w2.t())),
            1e-13);
}

TEST(Evaluate, TakesOverridesOfAnInputAndOfTheOutput) {
  const Diamond d;
  const at::Tensor given = Random(3).normal({2, 5, 4});
  EvaluateOptions options;
  options.overrides = {{0, given}};
  EXPECT_TRUE(at::equal(evaluate(d.program, d.parameters, std::array{d.x}, options),
                        evaluate(d.program, d.parameters, std::array{given})));
  options.overrides = {{d.program.output, given}};
  options.observe = [](ValueId id, const at::Tensor&) { ADD_FAILURE() << "computed " << id; };
  EXPECT_TRUE(at::equal(evaluate(d.program, d.parameters, std::array{d.x}, options), given));
}

TEST(Evaluate, UsesAnOverrideOnlyForReadersOfThatValue) {
  // Identity gives one use of an activation a separate value: a perturbation of it does not reach the other uses.
  Program program;
  program.n_inputs = 1;
  const ValueId copy = program.push(Identity{}, {0});
  program.output = program.push(Add{}, {copy, 0});
  const at::Tensor x = Random(4).normal({1, 2, 3});
  EvaluateOptions options;
  options.overrides = {{copy, at::zeros_like(x)}};
  EXPECT_TRUE(at::equal(evaluate(program, {}, std::array{x}, options), x));
}

TEST(Evaluate, KeepsAnOutputThatLaterStepsRead) {
  Program program;
  program.n_inputs = 1;
  const ValueId doubled = program.push(Add{}, {0, 0});
  program.push(Add{}, {doubled, 0});
  program.output = doubled;
  const at::Tensor x = Random(5).normal({1, 2, 3});
  EXPECT_TRUE(at::equal(evaluate(program, {}, std::array{x}), 2 * x));
  program.output = 0;
  EXPECT_TRUE(at::equal(evaluate(program, {}, std::array{x}), x));
}

TEST(Evaluate, PassesItsNumericsToThePrimitives) {
  Program program;
  program.n_inputs = 1;
  program.output = program.push(RmsNorm{"g"}, {0});
  Parameters parameters;
  parameters.add("g", at::ones({6}, at::kDouble));
  const at::Tensor x = Random(6).normal({1, 2, 6});
  EvaluateOptions narrow;
  narrow.numerics = Numerics::float32_internals;
  const at::Tensor difference =
      evaluate(program, parameters, std::array{x}) - evaluate(program, parameters, std::array{x}, narrow);
  EXPECT_GT(largest(difference), 1e-10);
  EXPECT_LT(largest(difference), 1e-6);
}

TEST(Evaluate, RefusesAWrongNumberOfInputsAndAbsentParameters) {
  const Diamond d;
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              evaluate(d.program, d.parameters, std::array{d.x, d.x});
            }),
            "the program takes 1 inputs, not 2");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { evaluate(d.program, d.parameters, {}); }),
            "the program takes 1 inputs, not 0");
  EXPECT_EQ(refusal_of<std::out_of_range>([&] { evaluate(d.program, {}, std::array{d.x}); }),
            "there is no parameter 'w1'");
  EvaluateOptions options;
  options.overrides = {{99, d.x}};
  EXPECT_THROW(evaluate(d.program, d.parameters, std::array{d.x}, options), std::out_of_range);
}

TEST(Parameters, KeepTheirOrderAndRefuseANameTwice) {
  Parameters parameters;
  const at::Tensor tensor = at::ones({2}, at::kDouble);
  for (const char* name : {"z", "a", "m"}) {
    parameters.add(name, tensor);
  }
  std::string order;
  for (const auto& [name, value] : parameters) {
    order += name;
  }
  EXPECT_EQ(order, "zam");
  EXPECT_EQ(parameters.size(), 3U);
  EXPECT_TRUE(parameters.contains("a"));
  EXPECT_FALSE(parameters.contains("b"));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { parameters.add("a", tensor); }), "parameter 'a' is given twice");
  EXPECT_EQ(refusal_of<std::out_of_range>([&] { parameters.at("b"); }), "there is no parameter 'b'");
}

TEST(Parameters, ShareTensorsThatFitAndConvertTheOthers) {
  Parameters parameters;
  parameters.add("wide", at::ones({2}, at::kDouble));
  parameters.add("narrow", at::ones({2}, at::kFloat));
  const Parameters converted = parameters.to(at::kCPU, at::kDouble);
  EXPECT_TRUE(converted.at("wide").is_same(parameters.at("wide")));
  EXPECT_EQ(converted.at("narrow").scalar_type(), at::kDouble);
}

}  // namespace
}  // namespace hessian::tests
