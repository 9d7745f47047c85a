#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/evaluate.h"
#include "hessian/hessian_operator.h"
#include "hessian/memory.h"
#include "hessian/parameter_differences.h"
#include "hessian/parameter_operator.h"
#include "hessian/parameter_selection.h"
#include "hessian/tape_operator.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::Curvature;
using hessian::ParameterOperator;
using hessian::ParameterOperatorOptions;
using hessian::ParameterProblem;
using hessian::Parameters;
using hessian::ParameterTape;
using hessian::Program;
using hessian::ValueId;
using hessian::support::largest;
using hessian::support::Random;
using testing::HasSubstr;

// Products of parameters against double backward through LibTorch, on a small network that has every primitive with
// parameters and reads some of them twice. Whole models are in test_parameter_models.

namespace hessian::tests {
namespace {

constexpr double tolerance = 1e-12;

/// Returns a network from token ids through an embedding with positions, both norms, one linear map that is used twice,
/// and a tied head.
Program network() {
  Program program;
  program.n_inputs = 2;
  ValueId x = program.push(hessian::Embedding{"table"}, {0});
  x = program.push(hessian::AddPositions{"positions"}, {x});
  const ValueId normed = program.push(hessian::LayerNorm{"gain", "shift"}, {x});
  const ValueId once = program.push(hessian::Linear{"map", "bias"}, {normed});
  const ValueId bent = program.push(hessian::Gelu{}, {once});
  const ValueId twice = program.push(hessian::Linear{"map", ""}, {bent});
  const ValueId mixed = program.push(
      hessian::CausalAttention{2, 1},
      {once, program.push(hessian::Linear{"key", ""}, {x}), program.push(hessian::Linear{"key", ""}, {normed})});
  const ValueId joined = program.push(hessian::Add{}, {twice, mixed});
  const ValueId last = program.push(hessian::RmsNorm{"gain"}, {joined});
  program.output = program.push(hessian::CrossEntropyHead{"table"}, {last, 1});
  return program;
}

struct Problem : ParameterProblem {
  explicit Problem(uint64_t seed, int64_t sequences = 3, int64_t positions = 4) : random(seed) {
    program = network();
    parameters.add("table", random.normal({6, 4}));
    parameters.add("positions", random.normal({positions + 1, 4}));
    parameters.add("gain", random.normal({4}));
    parameters.add("shift", random.normal({4}));
    parameters.add("map", random.normal({4, 4}));
    parameters.add("bias", random.normal({4}));
    parameters.add("key", random.normal({2, 4}));
    inputs = {random.integers(0, 6, {sequences, positions}), random.integers(0, 6, {sequences, positions})};
  }

  /// Returns the Hessian of the mean loss by double backward through one vector of all parameters.
  hessian::HessianOperator reference() const {
    std::vector<at::Tensor> parts;
    for (const auto& entry : parameters) {
      parts.push_back(entry.second.flatten());
    }
    const auto loss = [this](const at::Tensor& x, const hessian::ProblemIndices&) {
      return hessian::evaluate(program, hessian::split_like(x.squeeze(0), parameters), inputs).mean().unsqueeze(0);
    };
    return {loss, at::cat(parts).unsqueeze(0)};
  }

  const ParameterProblem& plain() const { return *this; }

  Random random;
};

TEST(ParameterOperator, IsTheHessianIfParametersAreReadTwice) {
  for (uint64_t seed = 0; seed < 6; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Problem problem(seed);
    const at::Tensor expected = hessian::to_dense(problem.reference());
    EXPECT_GT(largest(expected), 1e-2);
    EXPECT_LT(largest(hessian::to_dense(ParameterOperator(problem.plain())) - expected), tolerance * largest(expected));
  }
}

TEST(ParameterOperator, IsTheSameWithCheckpointsAnywhere) {
  Problem problem(10);
  const at::Tensor expected = hessian::to_dense(ParameterOperator(problem.plain()));
  const auto steps = static_cast<ValueId>(problem.program.steps.size());
  std::vector<ValueId> every(static_cast<std::size_t>(steps));
  std::iota(every.begin(), every.end(), problem.program.n_inputs);
  for (const std::vector<ValueId>& checkpoints : {every, std::vector<ValueId>{2}, std::vector<ValueId>{4, 8}}) {
    ParameterOperatorOptions options;
    options.checkpoints = checkpoints;
    EXPECT_LT(largest(hessian::to_dense(ParameterOperator(problem.plain(), options)) - expected),
              tolerance * largest(expected));
  }
}

TEST(ParameterOperator, IsTheSameWithinAMemoryLimit) {
  // A limit makes it process vectors one after another, and sequences in microbatches of as many as fit.
  Problem problem(16, /*sequences=*/5);
  const at::Tensor expected = hessian::to_dense(ParameterOperator(problem.plain()));
  const at::Tensor v = problem.random.normal({1, 4, expected.size(1)});
  const auto within = [&](int64_t memory_bytes) {
    return ParameterOperator(problem.plain(), {.memory_bytes = memory_bytes});
  };
  std::set<int64_t> microbatches;
  for (int64_t memory_bytes = 1 << 20; memory_bytes > 2048; memory_bytes = memory_bytes * 9 / 10) {
    std::optional<ParameterOperator> op;
    try {
      op.emplace(within(memory_bytes));
    } catch (const std::runtime_error&) {
      break;  // not even one sequence fits
    }
    if (microbatches.insert(op->sequences_at_once()).second) {
      SCOPED_TRACE(std::to_string(op->sequences_at_once()) + " sequences at once");
      EXPECT_LT(largest(op->apply(v) - at::matmul(v, expected)), 1e-11 * largest(expected));
    }
  }
  EXPECT_EQ(microbatches, (std::set<int64_t>{1, 2, 3, 4, 5}));
}

TEST(ParameterOperator, TakesSelectionsThatLeaveInputsOfAStepWithoutTangents) {
  // Only late parameters, a single bias or gain, one of two maps that read the same activation.
  Problem problem(11);
  const at::Tensor whole = hessian::to_dense(ParameterOperator(problem.plain()))[0];
  for (const std::vector<std::string>& names :
       {std::vector<std::string>{"bias"}, {"gain"}, {"shift"}, {"key"}, {"map", "positions"}, {"table", "bias"}}) {
    ParameterProblem some = problem.plain();
    some.selected = names;
    std::vector<at::Tensor> pieces;
    for (const std::string& name : names) {
      int64_t first = 0;
      for (const auto& [other, tensor] : problem.parameters) {
        if (other == name) {
          pieces.push_back(at::arange(first, first + tensor.numel()));
        }
        first += tensor.numel();
      }
    }
    const at::Tensor index = at::cat(pieces);
    const at::Tensor expected = whole.index_select(0, index).index_select(1, index);
    EXPECT_LT(largest(hessian::to_dense(ParameterOperator(some))[0] - expected), tolerance * largest(whole))
        << names.front();
  }
}

TEST(ParameterOperator, OfAnUnreadParameterIsZero) {
  Problem problem(12);
  problem.parameters.add("idle", problem.random.normal({3}));
  const ParameterOperator op(problem.plain());
  const at::Tensor dense = hessian::to_dense(op)[0];
  EXPECT_EQ(largest(dense.narrow(0, op.dim() - 3, 3)), 0.0);
  EXPECT_EQ(largest(dense.narrow(1, op.dim() - 3, 3)), 0.0);
  EXPECT_GT(largest(dense), 1e-2);
}

TEST(ParameterTape, DifferentiatesTheSumOfItsLosses) {
  Problem problem(13);
  const ParameterTape tape(problem.program, problem.parameters, problem.inputs, {"map"});
  const at::Tensor losses = hessian::evaluate(problem.program, problem.parameters, problem.inputs);
  EXPECT_LT(largest(tape.losses() - losses), tolerance);
  ParameterProblem mean = problem.plain();
  mean.selected = {"map"};
  const at::Tensor v = problem.random.normal({2, 16});
  EXPECT_LT(largest(tape.apply(v) / 3 - ParameterOperator(mean).apply(v.unsqueeze(0))[0]), tolerance);
  EXPECT_EQ(tape.apply(v.narrow(0, 0, 0)).sizes(), (std::vector<int64_t>{0, 16}));
}

TEST(ParameterTape, HoldsNoMoreThanAChunkOfTheLogits) {
  // 2 x 480 positions of 100,000 words: more than a chunk takes, and more probabilities than are kept.
  constexpr int64_t positions = 480;
  constexpr int64_t words = 100'000;
  Random random(30);
  Program program;
  program.n_inputs = 2;
  program.output = program.push(hessian::CrossEntropyHead{"head"}, {0, 1});
  Parameters parameters;
  parameters.add("head", random.normal({words, 3}));
  const std::vector<at::Tensor> inputs = {random.normal({2, positions, 3}), random.integers(0, words, {2, positions})};
  const at::Tensor v = random.normal({1, words * 3});
  for (const Curvature curvature : {Curvature::gauss_newton, Curvature::fisher}) {
    const hessian::MemoryScope memory;
    const ParameterTape tape(program, parameters, inputs, {"head"}, curvature);
    const at::Tensor product = tape.apply(v).view({words, 3});
    constexpr int64_t logits_bytes = 2 * positions * words * 8;
    EXPECT_LT(memory.peak_bytes(), logits_bytes / 2);
    // Sums zbardot x^T / T over the positions, for a few rows of the head (words) at a time.
    at::Tensor expected = at::zeros_like(product);
    for (int64_t sequence = 0; sequence < 2; ++sequence) {
      for (int64_t first = 0; first < positions; first += 60) {
        const at::Tensor x = inputs[0][sequence].narrow(0, first, 60);
        const at::Tensor p = at::softmax(at::matmul(x, parameters.at("head").t()), -1);
        const at::Tensor zdot = at::matmul(x, v.view({words, 3}).t());
        at::Tensor out;
        if (curvature == Curvature::gauss_newton) {
          out = p * (zdot - (p * zdot).sum(-1, true));
        } else {
          const at::Tensor labels = inputs[1][sequence].narrow(0, first, 60).unsqueeze(-1);
          const at::Tensor g = p.scatter_add(-1, labels, at::full({60, 1}, -1.0, p.options()));
          out = g * (g * zdot).sum(-1, true);
        }
        expected += at::matmul(out.t(), x) / positions;
      }
    }
    EXPECT_LT(largest(product - expected), 1e-10 * largest(expected));
  }
}

TEST(ParameterOperator, TakesGaussNewtonAndFisherMatricesOfCappedLogits) {
  constexpr double cap = 1.5;
  constexpr int64_t positions = 3;
  Random random(31);
  ParameterProblem problem;
  problem.program.n_inputs = 2;
  const ValueId mapped = problem.program.push(hessian::Linear{"map", ""}, {0});
  problem.program.output = problem.program.push(hessian::CrossEntropyHead{"head", cap}, {mapped, 1});
  problem.parameters.add("map", random.normal({4, 4}));
  problem.parameters.add("head", random.normal({5, 4}));
  problem.inputs = {random.normal({1, positions, 4}), random.integers(0, 5, {1, positions})};

  // J by reverse mode, one capped logit at a time; products of J with the curvature of the loss at the logits.
  const at::Tensor map = problem.parameters.at("map").clone().requires_grad_();
  const at::Tensor head = problem.parameters.at("head").clone().requires_grad_();
  const at::Tensor z = at::matmul(at::matmul(problem.inputs[0][0], map.t()), head.t());
  const at::Tensor logits = cap * at::tanh(z / cap);
  at::Tensor gauss_newton = at::zeros({36, 36}, at::kDouble);
  at::Tensor fisher = at::zeros({36, 36}, at::kDouble);
  for (int64_t t = 0; t < positions; ++t) {
    std::vector<at::Tensor> jacobian;
    for (int64_t word = 0; word < 5; ++word) {
      const auto slopes = torch::autograd::grad({logits[t][word]}, {map, head}, {}, true);
      jacobian.push_back(at::cat({slopes[0].flatten(), slopes[1].flatten()}));
    }
    const at::Tensor j = at::stack(jacobian);
    const at::Tensor p = at::softmax(logits[t].detach(), 0);
    at::Tensor excess = p.clone();
    excess[problem.inputs[1][0][t].item<int64_t>()] -= 1;
    const at::Tensor gradient = at::mv(j.t(), excess);
    gauss_newton += at::matmul(j.t(), at::matmul(at::diag(p) - at::outer(p, p), j)) / positions;
    fisher += at::outer(gradient, gradient) / positions;
  }
  const auto dense = [&](Curvature curvature) {
    ParameterOperatorOptions options;
    options.curvature = curvature;
    return hessian::to_dense(ParameterOperator(problem, options))[0];
  };
  EXPECT_GT(largest(gauss_newton), 1e-2);
  EXPECT_LT(largest(dense(Curvature::gauss_newton) - gauss_newton), tolerance);
  EXPECT_LT(largest(dense(Curvature::fisher) - fisher), tolerance);
}

TEST(ParameterTape, RefusesInvalidArguments) {
  Problem problem(14);
  const auto refusal = [&](const Program& program, const Parameters& parameters,
                           const std::vector<std::string>& names) {
    return support::refusal_of<std::invalid_argument>(
        [&] { ParameterTape(program, parameters, problem.inputs, names); });
  };
  EXPECT_THAT(refusal(problem.program, problem.parameters, {}), HasSubstr("none of the parameters"));
  EXPECT_THAT(refusal(problem.program, problem.parameters, {"map", "map"}), HasSubstr("given twice"));
  EXPECT_THROW(ParameterTape(problem.program, problem.parameters, problem.inputs, {"mop"}), std::out_of_range);
  Program without_loss = problem.program;
  without_loss.output -= 1;
  EXPECT_THAT(refusal(without_loss, problem.parameters, {"map"}), HasSubstr("a cross-entropy"));
  Parameters mixed;
  for (const auto& [name, tensor] : problem.parameters) {
    mixed.add(name, name == "key" ? tensor.to(at::kFloat) : tensor);
  }
  EXPECT_THAT(refusal(problem.program, mixed, {"map"}), HasSubstr("'key' is Float"));
  EXPECT_THAT(refusal(problem.program, problem.parameters.to(at::kCPU, at::kBFloat16), {"map"}),
              HasSubstr("float32 or float64"));
  const ParameterTape tape(problem.program, problem.parameters, problem.inputs, {"map"});
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] {
                tape.apply(at::zeros({2, 15}, at::kDouble));
              }),
              HasSubstr("expected [k, 16]"));
}

TEST(ParameterOperator, RefusesInvalidArguments) {
  const Problem problem(15);
  const auto refusal = [](const ParameterProblem& wrong, const ParameterOperatorOptions& options) {
    return support::refusal_of<std::invalid_argument>([&] { ParameterOperator(wrong, options); });
  };
  ParameterProblem uneven = problem.plain();
  uneven.inputs[1] = uneven.inputs[1].narrow(0, 0, 2);
  EXPECT_THAT(refusal(uneven, {}), HasSubstr("one row per sequence"));
  ParameterProblem few = problem.plain();
  few.inputs.pop_back();
  EXPECT_THAT(refusal(few, {}), HasSubstr("takes 2 inputs, not 1"));
  ParameterOperatorOptions sampled;
  sampled.sampled_labels = 1;
  EXPECT_THAT(refusal(problem.plain(), sampled), HasSubstr("Fisher matrix only"));
  ParameterOperatorOptions negative;
  negative.sequences_at_once = -1;
  EXPECT_THAT(refusal(problem.plain(), negative), HasSubstr("must not be negative, they are 0 and -1"));
}

TEST(ParameterSelection, FollowsThePatternsAndKeepsTheOrder) {
  Parameters parameters;
  for (const char* name : {"tok.weight", "layers.0.attention.wq.weight", "layers.0.ffn.w1.weight",
                           "layers.10.attention.wq.weight", "norm.weight"}) {
    parameters.add(name, at::zeros({1}));
  }
  using Names = std::vector<std::string>;
  const auto select = [&](const Names& patterns) { return hessian::select_parameters(parameters, patterns); };
  EXPECT_EQ(select({"layers.*.attention.*"}), (Names{"layers.0.attention.wq.weight", "layers.10.attention.wq.weight"}));
  EXPECT_EQ(select({"layers.?.attention.*"}), (Names{"layers.0.attention.wq.weight"}));
  EXPECT_EQ(select({"norm.weight", "tok*"}), (Names{"tok.weight", "norm.weight"}));
  EXPECT_EQ(select({"*"}).size(), 5U);
  EXPECT_EQ(select({"*w?.*", "*wq*"}).size(), 3U);
  EXPECT_EQ(select({"**norm.weight**"}), (Names{"norm.weight"}));
  const auto refusal = [&](const Names& patterns) {
    return support::refusal_of<std::invalid_argument>([&] { select(patterns); });
  };
  EXPECT_THAT(refusal({"tok*", "norm"}), testing::AllOf(HasSubstr("'norm'"), HasSubstr("tok.weight")));
  EXPECT_THAT(refusal({"layers.*.attention"}), HasSubstr("no parameter matches"));
  EXPECT_THAT(refusal({"norm.weight?"}), HasSubstr("no parameter matches"));
  EXPECT_THAT(refusal({"none"}), testing::EndsWith("layers.10.attention.wq.weight, norm.weight"));
  parameters.add("output.weight", at::zeros({1}));
  EXPECT_THAT(refusal({"none"}), testing::EndsWith("layers.10.attention.wq.weight, norm.weight, ..."));
  EXPECT_THAT(refusal({""}), HasSubstr("no parameter matches"));
  EXPECT_THAT(refusal({}), HasSubstr("no pattern"));
}

}  // namespace
}  // namespace hessian::tests
