#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "fixtures.h"
#include "hessian/dense_operator.h"
#include "hessian/memory.h"
#include "hessian/parameter_differences.h"
#include "hessian/parameter_operator.h"
#include "hessian/parameter_selection.h"
#include "minute_models.h"
#include "tiny_models.h"

using hessian::Curvature;
using hessian::ParameterDifferences;
using hessian::ParameterOperator;
using hessian::ParameterOperatorOptions;
using hessian::ParameterProblem;
using hessian::models::Family;
using hessian::models::Placement;
using hessian::support::relative_error;

// Compares the operators on all parameters of whole models with matrices that autograd computes row by row, in float64.
// The sums have some hundred terms, so they differ by rounding only: a few 1e-15 of the largest entry per layer.

namespace hessian::tests {
namespace {

constexpr double tolerance = 1e-11;

ParameterOperatorOptions options_of(Curvature curvature) {
  ParameterOperatorOptions options;
  options.curvature = curvature;
  return options;
}

/// Three sequences of four tokens.
struct Subject {
  models::Model model;
  at::Tensor tokens;
  at::Tensor targets;
  support::LeafModel leaves;

  Subject(Family family, Placement placement, uint64_t seed)
      : model(support::random_model(support::minute_config(family, placement), seed)),
        tokens(support::random_tokens(model.config, 3, 4, seed + 1)),
        targets(support::random_tokens(model.config, 3, 4, seed + 2)),
        leaves(model) {}

  ParameterProblem problem(const std::vector<std::string>& selected = {}) const {
    return {models::Forward(model).whole_program(), model.parameters, {tokens, targets}, selected};
  }

  at::Tensor dense(const ParameterOperatorOptions& options = {}, const std::vector<std::string>& selected = {}) const {
    return hessian::to_dense(ParameterOperator(problem(selected), options))[0];
  }

  int64_t count() const { return tokens.numel(); }

  /// Returns J^T (diag(p) - p p^T) J / N with the Jacobian J of all logits.
  at::Tensor gauss_newton() const {
    const at::Tensor z = leaves.logits(tokens);
    const at::Tensor jacobian = leaves.jacobian(z).view({count(), z.size(-1), -1});
    const at::Tensor p = at::softmax(z.detach(), -1).view({count(), -1});
    const at::Tensor middle = at::diag_embed(p) - p.unsqueeze(2) * p.unsqueeze(1);
    return at::matmul(jacobian.transpose(1, 2), at::matmul(middle, jacobian)).mean(0);
  }

  /// Returns the mean of g g^T over the gradients g of each token's loss for some labels.
  at::Tensor fisher(const at::Tensor& labels) const {
    const at::Tensor log_p = at::log_softmax(leaves.logits(tokens), -1);
    const at::Tensor gradients = leaves.jacobian(-log_p.gather(-1, labels.unsqueeze(-1)));
    return at::matmul(gradients.t(), gradients) / count();
  }

  /// Returns the difference between Hessian and Gauss-Newton matrix: (1/N) sum of (p - e)_i d2z_i/dw2, p and e held
  /// fixed.
  at::Tensor residual_term() const {
    const at::Tensor z = leaves.logits(tokens);
    const at::Tensor slope = (at::softmax(z, -1) - at::one_hot(targets, z.size(-1)).to(at::kDouble)).detach() / count();
    return leaves.second_derivatives((slope * z).sum());
  }
};

class ParametersOf : public testing::TestWithParam<models::GptConfig> {
 protected:
  Subject subject_{GetParam().family, GetParam().placement, 71};
};

TEST_P(ParametersOf, HaveTheDenseHessianOfTheMeanLoss) {
  const at::Tensor expected = support::dense_hessian(subject_.model, subject_.tokens, subject_.targets);
  const at::Tensor dense = subject_.dense();
  EXPECT_LT(relative_error(dense, expected), tolerance);
  EXPECT_LT(relative_error(dense, dense.t()), tolerance);
}

TEST_P(ParametersOf, HaveTheDenseGaussNewtonMatrixWhichIsSemidefinite) {
  const at::Tensor dense = subject_.dense(options_of(Curvature::gauss_newton));
  EXPECT_LT(relative_error(dense, subject_.gauss_newton()), tolerance);
  const at::Tensor eigenvalues = at::linalg_eigvalsh((dense + dense.t()) / 2);
  EXPECT_GT(eigenvalues.min().item<double>(), -tolerance * eigenvalues.max().item<double>());
}

TEST_P(ParametersOf, HaveTheDenseEmpiricalFisherMatrixOfTokens) {
  EXPECT_LT(relative_error(subject_.dense(options_of(Curvature::fisher)), subject_.fisher(subject_.targets)),
            tolerance);
}

INSTANTIATE_TEST_SUITE_P(FamiliesAndPlacements, ParametersOf, testing::ValuesIn(support::some_tiny_configs()),
                         [](const auto& instance) { return support::instance_name(instance.param); });

/// Returns one model with grouped queries and SimpleNorm, and one with biases, learned positions and a tied head.
std::vector<Subject> two_subjects() {
  return {{Family::llama3, Placement::simplegpt, 81}, {Family::gpt2, Placement::prenorm, 82}};
}

constexpr std::array all_curvatures = {Curvature::hessian, Curvature::gauss_newton, Curvature::fisher};

TEST(ParameterOperatorOfModel, TheHessianIsGaussNewtonAndAResidualTerm) {
  for (const Subject& subject : two_subjects()) {
    const at::Tensor sum = subject.dense(options_of(Curvature::gauss_newton)) + subject.residual_term();
    EXPECT_LT(relative_error(subject.dense(), sum), tolerance);
    EXPECT_GT(relative_error(subject.dense(options_of(Curvature::gauss_newton)), sum), 1e-2) << "no term to leave out";
  }
}

TEST(ParameterOperatorOfModel, OfSomeParametersIsASubmatrixAndTheTracesOfAllAddUp) {
  for (const Subject& subject : two_subjects()) {
    for (const Curvature curvature : all_curvatures) {
      const at::Tensor whole = subject.dense(options_of(curvature));
      const auto& parameters = subject.model.parameters;
      const auto entries = [&](const std::vector<std::string>& names) {
        std::vector<at::Tensor> pieces;
        int64_t first = 0;
        for (const auto& [name, tensor] : parameters) {
          if (std::find(names.begin(), names.end(), name) != names.end()) {
            pieces.push_back(at::arange(first, first + tensor.numel()));
          }
          first += tensor.numel();
        }
        return at::cat(pieces);
      };
      const auto submatrix = [&](const std::vector<std::string>& names) {
        return whole.index_select(0, entries(names)).index_select(1, entries(names));
      };
      for (const std::vector<std::string>& patterns :
           {std::vector<std::string>{"layers.0.attention.*"}, {"tok_embeddings.weight"}, {"*norm*", "*w2*", "*sn2*"}}) {
        std::vector<std::string> there;
        for (const std::string& pattern : patterns) {
          try {
            hessian::select_parameters(parameters, {pattern});
            there.push_back(pattern);
          } catch (const std::invalid_argument&) {
            // The two models name their maps differently.
          }
        }
        const auto names = hessian::select_parameters(parameters, there);
        EXPECT_LT(relative_error(subject.dense(options_of(curvature), names), submatrix(names)), tolerance);
      }
      double sum_of_traces = 0;
      for (const auto& entry : parameters) {
        const at::Tensor part = subject.dense(options_of(curvature), {entry.first});
        EXPECT_LT((part - submatrix({entry.first})).abs().max().item<double>(),
                  tolerance * whole.abs().max().item<double>())
            << entry.first;
        sum_of_traces += part.trace().item<double>();
      }
      EXPECT_NEAR(sum_of_traces, whole.trace().item<double>(), tolerance * whole.diagonal().abs().sum().item<double>());
    }
  }
}

TEST(ParameterOperatorOfModel, IsTheSameInMicrobatchesWithCheckpointsAndVectorByVector) {
  for (const Subject& subject : two_subjects()) {
    for (const Curvature curvature : all_curvatures) {
      const ParameterOperator whole(subject.problem(), options_of(curvature));
      const at::Tensor v = at::randn({1, 3, whole.dim()}, at::detail::createCPUGenerator(5), at::kDouble);
      const at::Tensor expected = whole.apply(v);
      ParameterOperatorOptions in_parts = options_of(curvature);
      in_parts.sequences_at_once = 2;  // microbatches of 2 and 1
      const ParameterOperator microbatches(subject.problem(), in_parts);
      EXPECT_EQ(microbatches.sequences_at_once(), 2);
      EXPECT_LT(relative_error(microbatches.apply(v), expected), tolerance);
      ParameterOperatorOptions with_checkpoints = options_of(curvature);
      for (const auto& [name, value] : subject.problem().program.sites) {
        if (name.ends_with("residual")) {
          with_checkpoints.checkpoints.push_back(value);
        }
      }
      std::sort(with_checkpoints.checkpoints.begin(), with_checkpoints.checkpoints.end());
      ASSERT_GE(with_checkpoints.checkpoints.size(), 2U);
      const ParameterOperator again(subject.problem(), with_checkpoints);
      EXPECT_LT(relative_error(again.apply(v), expected), tolerance);
      EXPECT_LT(relative_error(again.apply(v), expected), tolerance) << "the second time";
      for (int64_t j = 0; j < v.size(1); ++j) {
        EXPECT_LT(relative_error(whole.apply(v.narrow(1, j, 1)), expected.narrow(1, j, 1)), tolerance);
      }
    }
  }
}

TEST(ParameterOperatorOfModel, AgreesWithDifferencesOfGradients) {
  for (const Subject& subject : two_subjects()) {
    const ParameterOperator tape(subject.problem());
    const at::Tensor v = at::randn({1, 2, tape.dim()}, at::detail::createCPUGenerator(6), at::kDouble);
    const at::Tensor expected = tape.apply(v);
    // u^(2/3) = 4e-11 of third derivatives, which are some 100 times the second ones here.
    EXPECT_LT(relative_error(ParameterDifferences(subject.problem()).apply(v), expected), 1e-6);
    EXPECT_LT(relative_error(ParameterDifferences(subject.problem(), 2).apply(v), expected), 1e-6);
    const auto names = hessian::select_parameters(subject.model.parameters, {"layers.*", "*norm*"});
    const ParameterOperator some(subject.problem(names));
    const at::Tensor w = v.narrow(2, 0, some.dim()).contiguous();
    EXPECT_LT(relative_error(ParameterDifferences(subject.problem(names)).apply(w), some.apply(w)), 1e-6);
  }
}

TEST(ParameterOperatorOfModel, SampledFisherMatricesScatterAboutGaussNewton) {
  for (const Subject& subject : two_subjects()) {
    const ParameterOperator gauss_newton(subject.problem(), options_of(Curvature::gauss_newton));
    const at::Tensor v = at::randn({1, 1, gauss_newton.dim()}, at::detail::createCPUGenerator(7), at::kDouble);
    const double expected = (v * gauss_newton.apply(v)).sum().item<double>();
    // Averages v^T F v over seeds. The mean is within four of its standard errors, which four labels per token halve.
    const auto mean_and_error = [&](int64_t labels) {
      std::vector<double> samples;
      for (uint64_t seed = 0; seed < 200; ++seed) {
        ParameterOperatorOptions options = options_of(Curvature::fisher);
        options.sampled_labels = labels;
        options.seed = seed;
        samples.push_back((v * ParameterOperator(subject.problem(), options).apply(v)).sum().item<double>());
      }
      const at::Tensor all = at::tensor(samples, at::kDouble);
      return std::pair(all.mean().item<double>(), all.std().item<double>() / std::sqrt(200.0));
    };
    const auto [mean_of_one, error_of_one] = mean_and_error(1);
    const auto [mean_of_four, error_of_four] = mean_and_error(4);
    EXPECT_NEAR(mean_of_one, expected, 4 * error_of_one);
    EXPECT_NEAR(mean_of_four, expected, 4 * error_of_four);
    EXPECT_LT(error_of_one, 0.1 * expected) << "the bound above says nothing";
    // A standard deviation of 200 samples has a relative error of 5 %, a ratio of two of them one of 7 %.
    EXPECT_NEAR(error_of_one / error_of_four, 2.0, 0.5);
  }
}

TEST(ParameterOperatorOfModel, DrawsTheSameLabelsFromASeedForAnyMicrobatches) {
  const Subject subject(Family::llama2, Placement::prenorm, 83);
  const auto dense = [&](uint64_t seed, int64_t sequences_at_once) {
    ParameterOperatorOptions options = options_of(Curvature::fisher);
    options.sampled_labels = 2;
    options.seed = seed;
    options.sequences_at_once = sequences_at_once;
    return subject.dense(options);
  };
  const at::Tensor once = dense(9, 0);
  EXPECT_LT(relative_error(dense(9, 1), once), tolerance);
  EXPECT_GT(relative_error(dense(10, 0), once), 1e-2);
}

TEST(ParameterOperatorOfModel, AveragesOverSeveralLabelsOfAToken) {
  const Subject subject(Family::gpt2, Placement::simplegpt, 84);
  const at::Tensor others = support::random_tokens(subject.model.config, 3, 4, 85);
  ParameterProblem problem = subject.problem();
  problem.inputs[1] = at::stack({subject.targets, others}, -1);
  const at::Tensor expected = (subject.fisher(subject.targets) + subject.fisher(others)) / 2;
  const at::Tensor dense = hessian::to_dense(ParameterOperator(problem, options_of(Curvature::fisher)))[0];
  EXPECT_LT(relative_error(dense, expected), tolerance);
}

TEST(ParameterOperatorOfModel, StaysWithinItsMemoryLimit) {
  // Long sequences, so that activations outweigh the parameters.
  models::GptConfig config = support::minute_config(Family::llama3, Placement::simplegpt);
  config.max_seq_len = 64;
  const models::Model model = support::random_model(config, 86);
  const ParameterProblem problem{models::Forward(model).whole_program(),
                                 model.parameters,
                                 {support::random_tokens(config, 8, 64, 1), support::random_tokens(config, 8, 64, 2)},
                                 {}};
  const auto peak_within = [&](std::optional<int64_t> memory_bytes) {
    const hessian::MemoryScope memory;
    ParameterOperatorOptions options;
    options.memory_bytes = memory_bytes;
    const ParameterOperator op(problem, options);
    op.apply(at::ones({1, 2, op.dim()}, op.vector_options()));
    return std::pair(memory.peak_bytes(), op.sequences_at_once());
  };
  const auto [whole, all_at_once] = peak_within({});
  EXPECT_EQ(all_at_once, 8);
  const int64_t limit = whole / 2;
  const auto [part, some_at_once] = peak_within(limit);
  EXPECT_GE(some_at_once, 2);
  EXPECT_LT(some_at_once, 8);
  // Two vectors of the caller and their products are not in the budget.
  EXPECT_LE(part, limit + 4 * 4 * entries_of(problem.parameters));
  EXPECT_GT(part, limit * 3 / 4) << "more sequences would fit";
  EXPECT_THROW(peak_within(1000), std::runtime_error);
}

}  // namespace
}  // namespace hessian::tests
