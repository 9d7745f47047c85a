#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "hessian/evaluate.h"
#include "random_problems.h"
#include "tape/rule.h"

using torch::autograd::grad;

// Compares the tangents of primitives whose parameters vary with LibTorch's autograd of the same primitive, in float64.

namespace hessian::tests {
namespace {

using support::Random;

struct Case {
  std::string name;
  Operation operation;
  std::set<std::string> varied;
};

std::vector<Case> cases() {
  return {{"Linear", Linear{"w", "b"}, {"w", "b"}},
          {"LinearInItsWeight", Linear{"w", "b"}, {"w"}},
          {"LinearInItsBias", Linear{"w", "b"}, {"b"}},
          {"RmsNorm", RmsNorm{"g", 0.1}, {"g"}},
          {"LayerNorm", LayerNorm{"g", "c", 0.1}, {"g", "c"}},
          {"LayerNormInItsGain", LayerNorm{"g", "c", 0.1}, {"g"}},
          {"LayerNormInItsBias", LayerNorm{"g", "c", 0.1}, {"c"}},
          {"AddPositions", AddPositions{"p"}, {"p"}},
          {"Embedding", Embedding{"table"}, {"table"}},
          {"CrossEntropyHead", CrossEntropyHead{"head"}, {"head"}},
          {"CrossEntropyHeadCapped", CrossEntropyHead{"head", 1.5}, {"head"}}};
}

/// One primitive at a random point. Its variables are its activation, if it has one, and the parameters that vary.
struct Problem {
  Problem(const Case& chosen, uint64_t seed) : random(seed), operation(chosen.operation) {
    const int64_t sequences = random.integer(1, 3);
    const int64_t positions = random.integer(1, 6);
    if (!std::holds_alternative<Embedding>(operation)) {
      variables.push_back(random.normal({sequences, positions, 6}).requires_grad_());
      inputs.push_back(variables.back());
    }
    activations = variables.size();
    if (activations == 0 || is_head()) {
      inputs.push_back(random.integers(0, 11, {sequences, positions}));
    }
    const std::vector<std::pair<std::string, std::vector<int64_t>>> shapes = {
        {"w", {5, 6}}, {"b", {5}}, {"g", {6}}, {"c", {6}}, {"p", {9, 6}}, {"table", {11, 6}}, {"head", {11, 6}}};
    for (const auto& [name, shape] : shapes) {
      at::Tensor tensor = random.normal(shape);
      if (chosen.varied.contains(name)) {
        names.push_back(name);
        variables.push_back(tensor.requires_grad_());
      }
      parameters.add(name, tensor);
      fixed.add(name, tensor.detach());
    }
    value = apply_operation(operation, parameters, inputs);
    cotangent = random.normal(value.sizes()).requires_grad_();
    cotangents = grad({value}, variables, {cotangent}, true, true);
    rule = tape::record_operation(operation, detached_inputs(), fixed,
                                  {{chosen.varied.begin(), chosen.varied.end()}, Curvature::hessian});
    rule->vjp(cotangent.detach());
  }

  bool is_head() const { return std::holds_alternative<CrossEntropyHead>(operation); }

  std::vector<at::Tensor> detached_inputs() const {
    std::vector<at::Tensor> result;
    for (const at::Tensor& input : inputs) {
      result.push_back(input.detach());
    }
    return result;
  }

  at::Tensor random_tangents(const at::Tensor& x, int64_t k) {
    auto shape = x.sizes().vec();
    shape.insert(shape.begin() + 1, k);
    return random.normal(shape);
  }

  /// Returns the derivative of <f, w> along directions of the variables and of the cotangent; undefined ones are zero.
  double along(const at::Tensor& f, const at::Tensor& w, std::vector<at::Tensor> directions,
               const at::Tensor& cotangent_tangent) const {
    std::vector<at::Tensor> points = variables;
    points.push_back(cotangent);
    directions.push_back(cotangent_tangent);
    double sum = 0;
    const auto slopes = grad({f}, points, {w}, true, false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < points.size(); ++i) {
      if (slopes[i].defined() && directions[i].defined()) {
        sum += (slopes[i] * directions[i]).sum().item<double>();
      }
    }
    return sum;
  }

  Random random;
  Operation operation;
  std::vector<at::Tensor> inputs;
  std::vector<at::Tensor> variables;
  std::size_t activations = 0;     // how many of the variables are activations
  std::vector<std::string> names;  // of the others, the parameters
  Parameters parameters;
  Parameters fixed;  // the same without autograd
  at::Tensor value;
  at::Tensor cotangent;
  std::vector<at::Tensor> cotangents;
  tape::RulePtr rule;
};

/// Tolerance for sums of at most a few hundred terms of size 1 in float64.
constexpr double tolerance = 1e-11;

class ParametricTapeRule : public testing::TestWithParam<Case> {};

TEST_P(ParametricTapeRule, GivesTheTangentsOfTheValueAndOfAllCotangents) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(GetParam(), seed);
    const bool moves = problem.activations > 0 && seed % 4 != 0;  // whether the activation has a tangent
    const int64_t k = problem.random.integer(1, 3);
    std::vector<at::Tensor> tangents(problem.inputs.size());
    if (moves) {
      tangents[0] = problem.random_tangents(problem.variables[0], k);
    }
    Parameters parameter_tangents;
    for (std::size_t i = 0; i < problem.names.size(); ++i) {
      auto shape = problem.variables[problem.activations + i].sizes().vec();
      shape.insert(shape.begin(), k);
      parameter_tangents.add(problem.names[i], problem.random.normal(shape));
    }
    // A program ends with the loss, so that its cotangent does not vary.
    const at::Tensor cotangent_tangent =
        problem.is_head() ? at::Tensor() : problem.random_tangents(problem.cotangent, k);

    tape::Scratch scratch;
    const at::Tensor value_tangent = problem.rule->parametric_jvp(tangents, parameter_tangents, scratch);
    const auto terms = problem.rule->parametric_vjp_tangent(cotangent_tangent, parameter_tangents, scratch);
    ASSERT_EQ(terms.inputs.size(), problem.inputs.size());
    ASSERT_EQ(terms.parameters.size(), problem.names.size());
    for (int64_t j = 0; j < k; ++j) {
      std::vector<at::Tensor> directions;
      if (problem.activations > 0) {
        directions.push_back(moves ? tangents[0].select(1, j) : at::Tensor());
      }
      for (std::size_t i = 0; i < problem.names.size(); ++i) {
        directions.push_back(parameter_tangents.at(problem.names[i])[j]);
      }
      const at::Tensor ybardot = problem.is_head() ? at::Tensor() : cotangent_tangent.select(1, j);
      const at::Tensor w = problem.random.normal(problem.value.sizes());
      if (!problem.is_head()) {  // the tangent of the loss is not needed
        EXPECT_NEAR((value_tangent.select(1, j) * w).sum().item<double>(),
                    problem.along(problem.value, w, directions, {}), tolerance);
      }
      for (std::size_t i = 0; i < problem.variables.size(); ++i) {
        if (i < problem.activations && !moves) {
          continue;  // not computed
        }
        const at::Tensor u = problem.random.normal(problem.variables[i].sizes());
        const at::Tensor found = i < problem.activations
                                     ? terms.inputs[i].select(1, j)
                                     : terms.parameters.at(problem.names[i - problem.activations])[j];
        EXPECT_NEAR((found * u).sum().item<double>(), problem.along(problem.cotangents[i], u, directions, ybardot),
                    tolerance)
            << "variable " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Primitives, ParametricTapeRule, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hessian::tests
