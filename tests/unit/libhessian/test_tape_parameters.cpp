#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "hessian/evaluate.h"
#include "program/program_steps.h"
#include "random_problems.h"
#include "tape/rule.h"

using hessian::Operation;
using hessian::Parameters;
using hessian::support::Random;
using torch::autograd::grad;

// The tangents of primitives whose parameters vary, against LibTorch's autograd of the same primitive, in float64.

namespace hessian::tests {
namespace {

struct Case {
  std::string name;
  Operation operation;
  std::set<std::string> varied;
};

std::vector<Case> cases() {
  return {{"Linear", hessian::Linear{"w", "b"}, {"w", "b"}},
          {"LinearInItsWeight", hessian::Linear{"w", "b"}, {"w"}},
          {"LinearInItsBias", hessian::Linear{"w", "b"}, {"b"}},
          {"RmsNorm", hessian::RmsNorm{"g", 0.1}, {"g"}},
          {"LayerNorm", hessian::LayerNorm{"g", "c", 0.1}, {"g", "c"}},
          {"LayerNormInItsGain", hessian::LayerNorm{"g", "c", 0.1}, {"g"}},
          {"LayerNormInItsBias", hessian::LayerNorm{"g", "c", 0.1}, {"c"}},
          {"AddPositions", hessian::AddPositions{"p"}, {"p"}},
          {"Embedding", hessian::Embedding{"table"}, {"table"}},
          {"CrossEntropyHead", hessian::CrossEntropyHead{"head"}, {"head"}}};
}

/// One primitive at a random point; its variables are its activation, where it has one, and the parameters that vary.
struct Problem {
  Problem(const Case& chosen, uint64_t seed) : random(seed), operation(chosen.operation) {
    const int64_t sequences = random.integer(1, 3);
    const int64_t positions = random.integer(1, 6);
    if (!std::holds_alternative<hessian::Embedding>(operation)) {
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
    value = hessian::apply_operation(operation, parameters, inputs);
    cotangent = random.normal(value.sizes()).requires_grad_();
    cotangents = grad({value}, variables, {cotangent}, true, true);
    rule = hessian::tape::record_operation(operation, detached_inputs(), fixed,
                                           {{chosen.varied.begin(), chosen.varied.end()}, hessian::Curvature::hessian});
    rule->vjp(cotangent.detach());
  }

  bool is_head() const { return std::holds_alternative<hessian::CrossEntropyHead>(operation); }

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

  /// d<f, w> along directions of the variables and of the cotangent; undefined ones are zero.
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

  /// Where a parameter that varies stands among those that the primitive reads.
  std::size_t place_of(std::size_t varied) const {
    return static_cast<std::size_t>(std::find(read.begin(), read.end(), names[varied]) - read.begin());
  }

  Random random;
  Operation operation;
  std::vector<std::string> read = hessian::parameter_names(operation);
  std::vector<at::Tensor> inputs;
  std::vector<at::Tensor> variables;
  std::size_t activations = 0;     // how many of them are no parameters
  std::vector<std::string> names;  // of the others
  Parameters parameters;
  Parameters fixed;  // the same without autograd
  at::Tensor value;
  at::Tensor cotangent;
  std::vector<at::Tensor> cotangents;
  hessian::tape::RulePtr rule;
};

/// Sums of at most some hundred terms of size 1 in float64.
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
    std::vector<at::Tensor> parameter_tangents(problem.read.size());
    for (std::size_t i = 0; i < problem.names.size(); ++i) {
      auto shape = problem.variables[problem.activations + i].sizes().vec();
      shape.insert(shape.begin(), k);
      parameter_tangents[problem.place_of(i)] = problem.random.normal(shape);
    }
    // The loss is what a program ends with: its cotangent does not vary.
    const at::Tensor cotangent_tangent =
        problem.is_head() ? at::Tensor() : problem.random_tangents(problem.cotangent, k);

    hessian::tape::Scratch scratch;
    const at::Tensor value_tangent = problem.rule->parametric_jvp(tangents, parameter_tangents, scratch);
    const auto terms = problem.rule->parametric_vjp_tangent(cotangent_tangent, parameter_tangents, scratch);
    ASSERT_EQ(terms.inputs.size(), problem.inputs.size());
    for (int64_t j = 0; j < k; ++j) {
      std::vector<at::Tensor> directions;
      if (problem.activations > 0) {
        directions.push_back(moves ? tangents[0].select(1, j) : at::Tensor());
      }
      for (std::size_t i = 0; i < problem.names.size(); ++i) {
        directions.push_back(parameter_tangents[problem.place_of(i)][j]);
      }
      const at::Tensor ybardot = problem.is_head() ? at::Tensor() : cotangent_tangent.select(1, j);
      const at::Tensor w = problem.random.normal(problem.value.sizes());
      if (!problem.is_head()) {  // whose own tangent nobody asks for
        EXPECT_NEAR((value_tangent.select(1, j) * w).sum().item<double>(),
                    problem.along(problem.value, w, directions, {}), tolerance);
      }
      for (std::size_t i = 0; i < problem.variables.size(); ++i) {
        if (i < problem.activations && !moves) {
          continue;  // it is not asked for
        }
        const at::Tensor u = problem.random.normal(problem.variables[i].sizes());
        const at::Tensor found = i < problem.activations
                                     ? terms.inputs[i].select(1, j)
                                     : terms.parameters[problem.place_of(i - problem.activations)][j];
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
