#include "curvature/sampled_labels.h"

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <variant>

#include "hessian/evaluate.h"
#include "random_problems.h"

// Compares labels drawn from a model's softmax with inverse transform sampling, written out token by token.

namespace hessian::tests {
namespace {

using support::Random;

constexpr int64_t sequences = 3;
constexpr int64_t positions = 5;
constexpr int64_t classes = 6;

/// A linear map and an output head. A small scale of the logits makes all labels about equally likely.
ParameterProblem problem_with(uint64_t seed, double scale = 1, double soft_cap = 0) {
  Random random(seed);
  ParameterProblem problem;
  problem.program.n_inputs = 2;
  const ValueId x = problem.program.push(Linear{"map", ""}, {0});
  problem.program.output = problem.program.push(CrossEntropyHead{"head", soft_cap}, {x, 1});
  problem.parameters.add("map", random.normal({4, 4}));
  problem.parameters.add("head", scale * random.normal({classes, 4}));
  problem.inputs = {random.normal({sequences, positions, 4}), random.integers(0, classes, {sequences, positions})};
  return problem;
}

/// Returns softmax(z) of a token, [V].
at::Tensor distribution(const ParameterProblem& problem, int64_t sequence, int64_t position) {
  const at::Tensor x = at::mv(problem.parameters.at("map"), problem.inputs[0][sequence][position]);
  const at::Tensor z = at::mv(problem.parameters.at("head"), x);
  const double cap = std::get<CrossEntropyHead>(problem.program.steps.back().operation).soft_cap;
  return at::softmax(cap == 0 ? z : cap * at::tanh(z / cap), 0);
}

at::Tensor labels_of(ParameterProblem problem, int64_t count, uint64_t seed, int64_t max_logits = 1 << 22) {
  replace_targets(problem, count, seed, max_logits);
  return problem.inputs[1];
}

class SampledLabels : public testing::TestWithParam<double> {};

TEST_P(SampledLabels, AreTheFirstClassesWhoseCumulativeProbabilityExceedsAUniformNumber) {
  const ParameterProblem problem = problem_with(1, 1, GetParam());
  constexpr int64_t count = 4;
  constexpr uint64_t seed = 17;
  const at::Tensor uniform =
      at::rand({sequences, positions, count}, at::detail::createCPUGenerator(seed), at::dtype(at::kDouble));
  // Chunks of one position, of two with a remainder of one, and of all.
  for (const int64_t max_logits : {int64_t{1}, 2 * classes, int64_t{1} << 22}) {
    SCOPED_TRACE(max_logits);
    const at::Tensor labels = labels_of(problem, count, seed, max_logits);
    ASSERT_EQ(labels.sizes(), uniform.sizes());
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t t = 0; t < positions; ++t) {
        const at::Tensor p = distribution(problem, s, t);
        for (int64_t m = 0; m < count; ++m) {
          int64_t expected = 0;
          double sum = p[0].item<double>();
          while (sum <= uniform[s][t][m].item<double>() && expected < classes - 1) {
            sum += p[++expected].item<double>();
          }
          EXPECT_EQ(labels[s][t][m].item<int64_t>(), expected) << "sequence " << s << ", position " << t;
        }
      }
    }
  }
}

TEST_P(SampledLabels, OccurAsOftenAsTheirProbabilities) {
  const ParameterProblem problem = problem_with(2, 1, GetParam());
  constexpr int64_t count = 20000;
  const at::Tensor labels = labels_of(problem, count, 3);
  for (int64_t s = 0; s < sequences; ++s) {
    for (int64_t t = 0; t < positions; ++t) {
      const at::Tensor p = distribution(problem, s, t);
      for (int64_t label = 0; label < classes; ++label) {
        const double expected = p[label].item<double>();
        const double found = (labels[s][t] == label).to(at::kDouble).mean().item<double>();
        // Five standard deviations of a share, which none of 90 exceeds, and one label.
        EXPECT_NEAR(found, expected, 5 * std::sqrt(expected * (1 - expected) / count) + 1.0 / count);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PlainAndCappedLogits, SampledLabels, testing::Values(0.0, 0.5));

TEST(SampledLabelsOfASeed, AreTheSameAndThoseOfOthersAreNot) {
  // Nearly equal probabilities: two draws of 90 labels agree in about 15 of them.
  const ParameterProblem problem = problem_with(4, 1e-3);
  const at::Tensor labels = labels_of(problem, 6, 0);
  EXPECT_TRUE(at::equal(labels, labels_of(problem, 6, 0)));
  for (uint64_t seed = 1; seed < 5; ++seed) {
    const double agreement = (labels == labels_of(problem, 6, seed)).to(at::kDouble).mean().item<double>();
    EXPECT_LT(agreement, 0.4) << "seed " << seed;
  }
  // Nor do the tokens, sequences and labels of one draw share their uniform numbers.
  for (int64_t axis = 0; axis < 3; ++axis) {
    const at::Tensor first = labels.narrow(axis, 0, 1);
    const at::Tensor second = labels.narrow(axis, 1, 1);
    EXPECT_LT((first == second).to(at::kDouble).mean().item<double>(), 0.6) << "axis " << axis;
  }
}

}  // namespace
}  // namespace hessian::tests
