#include "hessian/map_curvature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/evaluate.h"
#include "hessian/hessian_operator.h"
#include "random_problems.h"

using hessian::linear_maps;
using hessian::LinearMap;
using hessian::MapCurvature;
using hessian::Parameters;
using hessian::Program;
using hessian::ValueId;
using hessian::support::largest;
using hessian::support::Random;

// Compares the terms of H_xx at a linear map with dense matrices, in float64.

namespace hessian::tests {
namespace {

constexpr double tolerance = 1e-11;

/// Maps of each kind: bare, followed by RMSNorm or LayerNorm, and with two readers before the norm; x is read twice.
struct Problem {
  explicit Problem(uint64_t seed) : random(seed) {
    program.n_inputs = 2;
    const ValueId input = program.push(hessian::Identity{}, {0});
    const ValueId gate = program.push(hessian::Linear{"gate", "bias"}, {input});
    const ValueId up = program.push(hessian::Linear{"up", ""}, {input});
    const ValueId normed = program.push(hessian::RmsNorm{"gain"}, {up});
    const ValueId inner = program.push(hessian::SiluGate{}, {gate, normed});
    const ValueId down = program.push(hessian::Linear{"down", ""}, {inner});
    const ValueId centred = program.push(hessian::LayerNorm{"centred.gain", "centred.bias"}, {down});
    const ValueId turned = program.push(hessian::Linear{"turn", ""}, {centred});
    const ValueId shown = program.push(hessian::RmsNorm{"last"}, {turned});
    const ValueId joined = program.push(hessian::Add{}, {shown, turned});
    program.output = program.push(hessian::CrossEntropyHead{"head"}, {joined, 1});
    for (const auto& [name, shape] : std::vector<std::pair<std::string, std::vector<int64_t>>>{{"gate", {5, 4}},
                                                                                               {"bias", {5}},
                                                                                               {"up", {5, 4}},
                                                                                               {"gain", {5}},
                                                                                               {"down", {3, 5}},
                                                                                               {"centred.gain", {3}},
                                                                                               {"centred.bias", {3}},
                                                                                               {"turn", {3, 3}},
                                                                                               {"last", {3}},
                                                                                               {"head", {7, 3}}}) {
      parameters.add(name, random.normal(shape));
    }
    inputs = {random.normal({2, 3, 4}), random.integers(0, 7, {2, 3})};
  }

  /// Returns the program in which the map's input is a separate value, which can be perturbed without its other uses.
  std::pair<Program, ValueId> with_own_input(const LinearMap& map) const {
    Program copy;
    copy.n_inputs = program.n_inputs;
    ValueId own = 0;
    for (const hessian::Step& step : program.steps) {
      const auto* linear = std::get_if<hessian::Linear>(&step.operation);
      const auto shifted = [&](ValueId value) { return value >= own && own > 0 ? value + 1 : value; };
      std::vector<ValueId> reads;
      for (const ValueId value : step.inputs) {
        reads.push_back(shifted(value));
      }
      if (linear != nullptr && linear->weight == map.weight) {
        own = copy.push(hessian::Identity{}, reads);
        reads = {own};
      }
      copy.push(step.operation, reads);
    }
    copy.output = program.output + 1;
    return {copy, own};
  }

  /// Returns the Hessian with respect to a value, by autograd.
  at::Tensor dense_hessian(const Program& of, ValueId value) const {
    at::Tensor point;
    hessian::EvaluateOptions look;
    look.observe = [&](ValueId id, const at::Tensor& tensor) { point = id == value ? tensor : point; };
    hessian::evaluate(of, parameters, inputs, look);
    const auto losses = [&](const at::Tensor& x, const hessian::ProblemIndices& problems) {
      hessian::EvaluateOptions options;
      options.overrides[value] = x;
      const std::vector<at::Tensor> rows = {hessian::rows_of(inputs[0], problems),
                                            hessian::rows_of(inputs[1], problems)};
      return hessian::evaluate(of, parameters, rows, options);
    };
    return hessian::to_dense(hessian::HessianOperator(losses, point));
  }

  Random random;
  Program program;
  Parameters parameters;
  std::vector<at::Tensor> inputs;
};

TEST(LinearMaps, AreFoundWithTheNormsThatFollowThem) {
  const Problem problem(0);
  const auto maps = linear_maps(problem.program);
  ASSERT_EQ(maps.size(), 4U);
  EXPECT_EQ(maps[0].weight, "gate");
  EXPECT_FALSE(maps[0].normalised);
  EXPECT_EQ(maps[1].weight, "up");
  EXPECT_TRUE(maps[1].normalised);
  EXPECT_EQ(maps[0].input, maps[1].input);
  EXPECT_EQ(maps[1].output, maps[0].output + 2);
  EXPECT_EQ(maps[2].weight, "down");
  EXPECT_TRUE(maps[2].normalised);
  EXPECT_EQ(maps[3].weight, "turn");
  EXPECT_FALSE(maps[3].normalised) << "its output is read behind the norm too";
}

TEST(MapCurvature, TermsAddUpToTheHessianWithRespectToTheMapsOwnInput) {
  for (uint64_t seed = 0; seed < 3; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Problem problem(seed);
    for (const LinearMap& map : linear_maps(problem.program)) {
      SCOPED_TRACE(map.weight);
      const MapCurvature curvature(problem.program, problem.parameters, problem.inputs, map);
      const auto [program, value] = problem.with_own_input(map);
      const at::Tensor expected = problem.dense_hessian(program, value);
      EXPECT_GT(largest(expected), 1e-4);
      EXPECT_LT(largest(hessian::to_dense(*curvature.hessian()) - expected), tolerance);
    }
  }
}

TEST(MapCurvature, GainTermOfALinearMapIsTheOutputsHessianTransformedByTheWeight) {
  const Problem problem(3);
  const LinearMap map = linear_maps(problem.program).front();
  const MapCurvature curvature(problem.program, problem.parameters, problem.inputs, map);
  // J is the weight at each of the three positions: a block-diagonal matrix.
  const at::Tensor jacobian = at::kron(at::eye(3, at::kDouble), problem.parameters.at(map.weight));
  const at::Tensor beyond = problem.dense_hessian(problem.program, map.output);
  const at::Tensor expected = jacobian.t().matmul(beyond).matmul(jacobian);
  EXPECT_LT(largest(hessian::to_dense(*curvature.gain_term()) - expected), tolerance);
  EXPECT_EQ(largest(hessian::to_dense(*curvature.curvature_term())), 0.0);
}

TEST(MapCurvature, ScalesBothTermsOfANormalisedMapByTheSquareIfTheWeightGrowsAndXShrinks) {
  // Except for eps, (W, x) and (c W, x / c) give the same z, H_zz and df/dz, so that both terms grow by c^2.
  const Problem problem(4);
  const LinearMap map = linear_maps(problem.program)[1];
  Problem scaled(4);
  constexpr double c = 8;
  Parameters parameters;
  for (const auto& [name, tensor] : problem.parameters) {
    parameters.add(name, name == "up" || name == "gate" ? tensor * c : tensor);
  }
  scaled.parameters = parameters;
  scaled.inputs[0] = problem.inputs[0] / c;
  const MapCurvature plain(problem.program, problem.parameters, problem.inputs, map);
  const MapCurvature other(scaled.program, scaled.parameters, scaled.inputs, map);
  for (const auto& [a, b] :
       {std::pair{plain.gain_term(), other.gain_term()}, std::pair{plain.curvature_term(), other.curvature_term()}}) {
    const at::Tensor expected = hessian::to_dense(*a) * (c * c);
    EXPECT_GT(largest(expected), 1e-3);
    EXPECT_LT(largest(hessian::to_dense(*b) - expected), 1e-9 * largest(expected));
  }
}

TEST(MapCurvature, GivesTheSameProductsForSomeOfTheProblems) {
  Problem problem(5);
  const MapCurvature curvature(problem.program, problem.parameters, problem.inputs, linear_maps(problem.program)[1]);
  for (const auto& op : {curvature.gain_term(), curvature.curvature_term()}) {
    const at::Tensor v = problem.random.normal({2, 3, op->dim()});
    const at::Tensor whole = op->apply(v);
    EXPECT_LT(largest(op->apply(v.narrow(0, 1, 1), {1}) - whole.narrow(0, 1, 1)), tolerance);
    EXPECT_LT(largest(op->apply(v.narrow(1, 2, 1)) - whole.narrow(1, 2, 1)), tolerance);
  }
}

}  // namespace
}  // namespace hessian::tests
