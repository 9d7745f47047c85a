#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "random_problems.h"
#include "tape/rule.h"

// Compares the output head, which works on chunks of positions and groups of vectors, with its formulas, written out for
// one position, vector and label at a time in float64. Limits of a few numbers make chunks and groups of every kind.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;

/// Sums of at most a hundred terms of size 1 in float64.
constexpr double tolerance = 1e-12;

constexpr int64_t sequences = 2;
constexpr int64_t positions = 5;
constexpr int64_t classes = 7;
constexpr int64_t width = 3;
constexpr int64_t vectors = 5;

struct Case {
  std::string name;
  tape::CrossEntropyLimits limits;
};

/// A chunk of t positions has 2 t 7 logits, and tangents of as many entries per vector.
std::vector<Case> cases() {
  constexpr int64_t all = int64_t{1} << 22;
  std::vector<Case> result;
  for (const bool kept : {true, false}) {
    const std::string probabilities = kept ? "Kept" : "Recomputed";
    const int64_t max_probabilities = kept ? sequences * positions * classes : sequences * positions * classes - 1;
    result.push_back({"OneChunkAndOneGroup" + probabilities, {all, max_probabilities}});
    result.push_back({"OneChunkAndGroupsOfTwoTwoAndOne" + probabilities, {2 * 70, max_probabilities}});
    result.push_back({"ChunksOfTwoTwoAndOnePosition" + probabilities, {2 * 14, max_probabilities}});
    result.push_back({"ChunksOfThreeAndTwoPositions" + probabilities, {3 * 14 + 13, max_probabilities}});
    result.push_back({"EachPositionAndVectorAlone" + probabilities, {1, max_probabilities}});
  }
  return result;
}

/// A head at a random point, with random tangents of its input and of its weight, one or several labels per token, and
/// perhaps a soft cap on its logits.
struct Problem {
  Problem(uint64_t seed, int64_t labels_per_token, double cap) : random(seed), soft_cap(cap) {
    parameters.add("head", random.normal({classes, width}));
    labels = random.integers(0, classes, {sequences, positions, labels_per_token});
  }

  tape::RulePtr record(Curvature curvature, bool weight_varies, const tape::CrossEntropyLimits& limits) const {
    tape::Demand demand{{}, curvature};
    if (weight_varies) {
      demand.parameters.emplace_back("head");
    }
    const at::Tensor targets = labels.size(2) == 1 ? labels.squeeze(2) : labels;
    return tape::record_cross_entropy(CrossEntropyHead{"head", soft_cap}, std::vector{x, targets}, parameters, demand,
                                      limits);
  }

  /// Returns the logits that softmax reads, [V].
  at::Tensor logits(int64_t s, int64_t t) const {
    const at::Tensor z = at::mv(parameters.at("head"), x[s][t]);
    return soft_cap == 0 ? z : soft_cap * at::tanh(z / soft_cap);
  }

  /// Returns their derivatives with respect to those before the cap, [V].
  at::Tensor slope(int64_t s, int64_t t) const {
    return soft_cap == 0 ? at::ones({classes}, at::kDouble) : 1 - (logits(s, t) / soft_cap).square();
  }

  /// Returns p - e_m, [V].
  at::Tensor excess(int64_t s, int64_t t, int64_t m) const {
    at::Tensor result = at::softmax(logits(s, t), 0);
    result[labels[s][t][m].item<int64_t>()] -= 1;
    return result;
  }

  /// Returns the mean of p - e_m over the labels of a token, [V].
  at::Tensor mean_excess(int64_t s, int64_t t) const {
    at::Tensor sum = at::zeros({classes}, at::kDouble);
    for (int64_t m = 0; m < labels.size(2); ++m) {
      sum += excess(s, t, m);
    }
    return sum / static_cast<double>(labels.size(2));
  }

  /// Returns the tangent of the cotangent of the logits before the cap, divided by fbar / T, [V].
  at::Tensor zbardot(Curvature curvature, int64_t s, int64_t t, const at::Tensor& zdot) const {
    const at::Tensor ydot = slope(s, t) * zdot;
    at::Tensor result = slope(s, t) * ybardot(curvature, s, t, ydot);
    if (curvature == Curvature::hessian && soft_cap != 0) {
      // The second derivative of c tanh(z / c) is -2 y / c^2 times the first.
      result += mean_excess(s, t) * (-2 / (soft_cap * soft_cap)) * logits(s, t) * ydot;
    }
    return result;
  }

  /// Returns the same of the logits that softmax reads.
  at::Tensor ybardot(Curvature curvature, int64_t s, int64_t t, const at::Tensor& zdot) const {
    if (curvature != Curvature::fisher) {
      const at::Tensor p = at::softmax(logits(s, t), 0);
      return p * zdot - p * at::dot(p, zdot);
    }
    at::Tensor sum = at::zeros({classes}, at::kDouble);
    for (int64_t m = 0; m < labels.size(2); ++m) {
      sum += excess(s, t, m) * at::dot(excess(s, t, m), zdot);
    }
    return sum / static_cast<double>(labels.size(2));
  }

  Random random;
  double soft_cap;
  Parameters parameters;
  at::Tensor x = random.normal({sequences, positions, width});
  at::Tensor cotangent = random.normal({sequences});
  at::Tensor xdot = random.normal({sequences, vectors, positions, width});
  at::Tensor weight_dot = random.normal({vectors, classes, width});
  at::Tensor labels;
};

struct Tangents {
  at::Tensor loss;    // [S, k]
  at::Tensor input;   // [S, k, T, width]
  at::Tensor weight;  // [k, V, width]
};

/// Computes the tangents by the formulas, along xdot, weight_dot or both.
Tangents expected_tangents(const Problem& problem, Curvature curvature, bool input_varies, bool weight_varies) {
  const at::Tensor& head = problem.parameters.at("head");
  Tangents result{at::zeros({sequences, vectors}, at::kDouble), at::zeros_like(problem.xdot),
                  at::zeros_like(problem.weight_dot)};
  for (int64_t s = 0; s < sequences; ++s) {
    const at::Tensor scale = problem.cotangent[s] / static_cast<double>(positions);
    for (int64_t t = 0; t < positions; ++t) {
      const at::Tensor gradient = problem.slope(s, t) * problem.mean_excess(s, t);
      for (int64_t j = 0; j < vectors; ++j) {
        const at::Tensor xdot = problem.xdot[s][j][t];
        const at::Tensor weight_dot = problem.weight_dot[j];
        at::Tensor zdot = at::zeros({classes}, at::kDouble);
        if (input_varies) {
          zdot += at::mv(head, xdot);
        }
        if (weight_varies) {
          zdot += at::mv(weight_dot, problem.x[s][t]);
        }
        result.loss[s][j] += at::dot(gradient, zdot) / static_cast<double>(positions);
        const at::Tensor zbardot = scale * problem.zbardot(curvature, s, t, zdot);
        result.input[s][j][t] += at::mv(head.t(), zbardot);
        result.weight[j] += at::outer(zbardot, problem.x[s][t]);
        if (curvature == Curvature::hessian && weight_varies) {
          result.input[s][j][t] += at::mv(weight_dot.t(), scale * gradient);
        }
        if (curvature == Curvature::hessian && input_varies) {
          result.weight[j] += at::outer(scale * gradient, xdot);
        }
      }
    }
  }
  return result;
}

constexpr double all_caps[] = {0, 1.5};
constexpr Curvature all_curvatures[] = {Curvature::hessian, Curvature::gauss_newton, Curvature::fisher};

class CrossEntropyLimits : public testing::TestWithParam<Case> {};

TEST_P(CrossEntropyLimits, KeepTheLossesAndTheirGradients) {
  for (const double cap : all_caps) {
    for (const int64_t labels : {1, 3}) {
      const Problem problem(static_cast<uint64_t>(labels), labels, cap);
      const auto rule = problem.record(Curvature::hessian, false, GetParam().limits);
      const at::Tensor losses = rule->take_value();
      const at::Tensor gradient = rule->vjp(problem.cotangent)[0];
      const at::Tensor& head = problem.parameters.at("head");
      for (int64_t s = 0; s < sequences; ++s) {
        double loss = 0;
        for (int64_t t = 0; t < positions; ++t) {
          const at::Tensor logarithms = at::log_softmax(problem.logits(s, t), 0);
          for (int64_t m = 0; m < labels; ++m) {
            loss -= logarithms[problem.labels[s][t][m].item<int64_t>()].item<double>();
          }
          const at::Tensor expected = problem.cotangent[s] / static_cast<double>(positions) *
                                      at::mv(head.t(), problem.slope(s, t) * problem.mean_excess(s, t));
          EXPECT_LT(largest(gradient[s][t] - expected), tolerance) << "position " << t;
        }
        EXPECT_NEAR(losses[s].item<double>(), loss / static_cast<double>(positions * labels), tolerance);
      }
    }
  }
}

TEST_P(CrossEntropyLimits, KeepTheTangentsOfActivations) {
  for (const double cap : all_caps) {
    for (const Curvature curvature : all_curvatures) {
      SCOPED_TRACE("curvature " + std::to_string(static_cast<int>(curvature)) + ", cap " + std::to_string(cap));
      const Problem problem(10, 2, cap);
      const auto rule = problem.record(curvature, false, GetParam().limits);
      rule->vjp(problem.cotangent);
      tape::Scratch scratch;
      const at::Tensor loss = rule->jvp(std::vector{problem.xdot, at::Tensor()}, scratch);
      const at::Tensor input = rule->vjp_tangent({}, scratch)[0];
      const Tangents expected = expected_tangents(problem, curvature, true, false);
      EXPECT_LT(largest(loss - expected.loss), tolerance);
      for (int64_t j = 0; j < vectors; ++j) {
        EXPECT_GT(largest(expected.input.select(1, j)), 1e-2);
        EXPECT_LT(largest(input.select(1, j) - expected.input.select(1, j)), tolerance) << "vector " << j;
      }
    }
  }
}

/// Compares the tangents if the weight varies, with the input or alone.
void expect_tangents_of_the_weight(const Problem& problem, Curvature curvature, bool input_varies,
                                   const tape::CrossEntropyLimits& limits) {
  const auto rule = problem.record(curvature, true, limits);
  rule->vjp(problem.cotangent);
  Parameters weight_tangents;
  weight_tangents.add("head", problem.weight_dot);
  tape::Scratch scratch;
  const std::vector<at::Tensor> tangents = {input_varies ? problem.xdot : at::Tensor(), at::Tensor()};
  rule->parametric_jvp(tangents, weight_tangents, scratch);
  const auto terms = rule->parametric_vjp_tangent({}, weight_tangents, scratch);
  const Tangents expected = expected_tangents(problem, curvature, input_varies, true);
  for (int64_t j = 0; j < vectors; ++j) {
    EXPECT_GT(largest(expected.weight[j]), 1e-2);
    EXPECT_LT(largest(terms.parameters.at("head")[j] - expected.weight[j]), tolerance) << "vector " << j;
    if (input_varies) {
      EXPECT_LT(largest(terms.inputs[0].select(1, j) - expected.input.select(1, j)), tolerance) << "vector " << j;
    }
  }
}

TEST_P(CrossEntropyLimits, KeepTheTangentsOfTheWeight) {
  for (const double cap : all_caps) {
    for (const Curvature curvature : all_curvatures) {
      for (const bool input_varies : {true, false}) {
        SCOPED_TRACE("curvature " + std::to_string(static_cast<int>(curvature)) + ", cap " + std::to_string(cap) +
                     (input_varies ? ", of the input as well" : ", of the weight alone"));
        expect_tangents_of_the_weight(Problem(20, 2, cap), curvature, input_varies, GetParam().limits);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(ChunksAndGroups, CrossEntropyLimits, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace hessian::tests
