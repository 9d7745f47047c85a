#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <variant>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/evaluate.h"
#include "hessian/hessian_operator.h"
#include "hessian/memory.h"
#include "hessian/tape_operator.h"
#include "random_problems.h"
#include "refusal.h"

using testing::HasSubstr;

// Compares the tape with double backward through LibTorch, on a small network that uses a value several times.

namespace hessian::tests {
namespace {

using support::largest;
using support::Random;

constexpr double tolerance = 1e-12;

/// Two branches of one value whose results are added, then a head.
struct Network {
  Program program;
  ValueId normed = 0;  ///< read by both branches
  ValueId middle = 0;  ///< of the same width, and read twice
  ValueId inner = 0;   ///< inside the second branch, while the result of the first is still needed

  Network() {
    program.n_inputs = 2;
    normed = program.push(RmsNorm{"g"}, {0});
    const ValueId mixed = program.push(CausalAttention{2, 2}, {normed, normed, normed});
    middle = program.push(Add{}, {0, mixed});
    const ValueId gate = program.push(Linear{"gate", ""}, {normed});
    const ValueId up = program.push(Linear{"up", ""}, {middle});
    inner = program.push(SiluGate{}, {gate, up});
    const ValueId down = program.push(Linear{"down", ""}, {inner});
    const ValueId joined = program.push(Add{}, {middle, down});
    program.output = program.push(CrossEntropyHead{"head"}, {joined, 1});
  }
};

struct Problem : Network {
  explicit Problem(uint64_t seed, int64_t sequences = 3, int64_t positions = 3) : random(seed) {
    parameters.add("g", random.normal({4}));
    parameters.add("gate", random.normal({5, 4}));
    parameters.add("up", random.normal({5, 4}));
    parameters.add("down", random.normal({4, 5}));
    parameters.add("head", random.normal({7, 4}));
    inputs = {random.normal({sequences, positions, 4}), random.integers(0, 7, {sequences, positions})};
  }

  /// Gives the attention a soft cap, a scale and a window, and the head a soft cap.
  Problem& cap() {
    for (Step& step : program.steps) {
      if (auto* const attention = std::get_if<CausalAttention>(&step.operation)) {
        *attention = CausalAttention{2, 2, 0.9, 1.2, 2};
      } else if (auto* const head = std::get_if<CrossEntropyHead>(&step.operation)) {
        head->soft_cap = 2.0;
      }
    }
    return *this;
  }

  /// Returns the same Hessian by autograd: the value is overridden by the variable.
  HessianOperator reference(ValueId value) const {
    at::Tensor activation = inputs[0];
    if (value > 0) {
      EvaluateOptions options;
      options.observe = [&](ValueId id, const at::Tensor& tensor) { activation = id == value ? tensor : activation; };
      evaluate(program, parameters, inputs, options);
    }
    const auto losses = [this, value](const at::Tensor& x, const ProblemIndices& problems) {
      EvaluateOptions options;
      options.overrides[value] = x;
      const std::vector<at::Tensor> rows = {value == 0 ? x : rows_of(inputs[0], problems),
                                            rows_of(inputs[1], problems)};
      return evaluate(program, parameters, rows, options);
    };
    return {losses, activation};
  }

  Random random;
  Parameters parameters;
  std::vector<at::Tensor> inputs;
};

TEST(TapeOperator, IsTheHessianWithRespectToAnyValue) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed);
    if (seed >= 2) {
      problem.cap();
    }
    for (const ValueId value : {0, problem.normed, problem.inner}) {
      const TapeOperator op(problem.program, problem.parameters, problem.inputs, value);
      const at::Tensor dense = to_dense(op);
      const at::Tensor expected = to_dense(problem.reference(value));
      EXPECT_GT(largest(expected), 1e-3);
      EXPECT_LT(largest(dense - expected), tolerance) << "value " << value;
      EXPECT_LT(largest(dense - dense.transpose(1, 2)), tolerance);
    }
  }
}

TEST(TapeOperator, GivesTheSameProductsForSomeOfTheProblemsInAnyOrder) {
  Problem problem(5, 6);
  const TapeOperator op(problem.program, problem.parameters, problem.inputs, 0);
  const at::Tensor v = problem.random.normal({6, 2, op.dim()});
  const at::Tensor whole = op.apply(v);
  // All problems but one use the existing tape, two record a new one, and the last subset has problems that the new
  // tape lacks.
  for (const ProblemIndices& problems :
       {ProblemIndices{5, 0, 1, 2, 3}, ProblemIndices{4, 1}, ProblemIndices{0, 4, 5}}) {
    const at::Tensor some = op.apply(rows_of(v, problems), problems);
    EXPECT_LT(largest(some - rows_of(whole, problems)), tolerance);
  }
}

TEST(TapeOperator, GivesTheSameProductsOfSeveralVectorsAsOfEach) {
  Problem problem(6);
  const TapeOperator op(problem.program, problem.parameters, problem.inputs, 0);
  const at::Tensor v = problem.random.normal({3, 4, op.dim()});
  const at::Tensor together = op.apply(v);
  for (int64_t j = 0; j < 4; ++j) {
    EXPECT_LT(largest(op.apply(v.narrow(1, j, 1)) - together.narrow(1, j, 1)), tolerance * (1 + largest(together)));
  }
}

TEST(TapeOperator, TakesSeveralValuesAsSeparateProblems) {
  for (uint64_t seed = 70; seed < 74; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed, 4);
    const std::vector<ValueId> values = {0, problem.normed, problem.middle};
    const TapeOperator op({problem.program, problem.parameters, problem.inputs, values, {}});
    ASSERT_EQ(op.problems(), 12);
    std::vector<at::Tensor> separate;
    for (const ValueId value : values) {
      separate.push_back(to_dense(TapeOperator(problem.program, problem.parameters, problem.inputs, value)));
    }
    const at::Tensor dense = at::cat(separate);
    EXPECT_LT(largest(to_dense(op) - dense), tolerance);
    // Subsets with gaps, in any order: first of fewer and fewer sequences, then of more again.
    for (const ProblemIndices& problems :
         {ProblemIndices{11, 0, 5, 6, 1}, ProblemIndices{2, 8, 10}, ProblemIndices{4}, ProblemIndices{3, 7}}) {
      const at::Tensor v = problem.random.normal({static_cast<int64_t>(problems.size()), 2, op.dim()});
      const at::Tensor expected = at::matmul(v, rows_of(dense, problems));
      EXPECT_LT(largest(op.apply(v, problems) - expected), tolerance * (1 + largest(expected)));
    }
  }
}

/// Draws vectors at each entry for random sequences with repetition, so that some have several vectors and some none.
std::vector<TapeVectors> random_vectors(Problem& problem, const Tape& tape, std::size_t entries) {
  std::vector<TapeVectors> vectors;
  for (std::size_t entry = 0; entry < entries; ++entry) {
    TapeVectors entering;
    for (int64_t count = problem.random.integer(0, 5); count > 0; --count) {
      entering.sequences.push_back(problem.random.integer(0, tape.losses().size(0) - 1));
    }
    auto shape = tape.activation(entry).sizes().vec();
    shape[0] = static_cast<int64_t>(entering.sequences.size());
    entering.rows = problem.random.normal(shape);
    vectors.push_back(std::move(entering));
  }
  return vectors;
}

TEST(Tape, CarriesAnyVectorsOfSeveralValuesInOnePass) {
  for (uint64_t seed = 10; seed < 30; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed);
    const std::vector<ValueId> entries = {0, problem.normed, problem.inner};
    const Tape tape(problem.program, problem.parameters, problem.inputs, entries);
    const auto vectors = random_vectors(problem, tape, entries.size());
    const auto products = tape.apply(vectors);
    ASSERT_EQ(products.size(), entries.size());
    for (std::size_t entry = 0; entry < entries.size(); ++entry) {
      const at::Tensor dense =
          to_dense(TapeOperator(problem.program, problem.parameters, problem.inputs, entries[entry]));
      ASSERT_EQ(products[entry].sizes(), vectors[entry].rows.sizes());
      for (std::size_t row = 0; row < vectors[entry].sequences.size(); ++row) {
        const auto i = static_cast<int64_t>(row);
        const at::Tensor expected = at::mv(dense[vectors[entry].sequences[row]], vectors[entry].rows[i].flatten());
        EXPECT_LT(largest(products[entry][i].flatten() - expected), tolerance * (1 + largest(expected)))
            << "entry " << entry << ", row " << row;
      }
    }
  }
}

TEST(Tape, GivesTheSameProductsWithCheckpoints) {
  for (uint64_t seed = 40; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed);
    if (seed >= 45) {
      problem.cap();
    }
    const std::vector<ValueId> entries = {0, problem.normed, problem.inner};
    const auto steps = static_cast<ValueId>(problem.program.steps.size());
    // One segment per step; segments of several steps; two segments, the first of one step.
    std::vector<ValueId> every(static_cast<std::size_t>(steps));
    std::iota(every.begin(), every.end(), problem.program.n_inputs);
    const Tape kept(problem.program, problem.parameters, problem.inputs, entries);
    const auto vectors = random_vectors(problem, kept, entries.size());
    const auto expected = kept.apply(vectors);
    for (const std::vector<ValueId>& checkpoints :
         {every, std::vector<ValueId>{problem.normed + 1, problem.inner}, std::vector<ValueId>{problem.normed}}) {
      const Tape again(problem.program, problem.parameters, problem.inputs, entries, checkpoints);
      EXPECT_LT(largest(again.losses() - kept.losses()), tolerance);
      for (std::size_t entry = 0; entry < entries.size(); ++entry) {
        EXPECT_LT(largest(again.activation(entry) - kept.activation(entry)), tolerance);
        EXPECT_LT(largest(again.gradient(entry) - kept.gradient(entry)), tolerance);
      }
      for (int repetition = 0; repetition < 2; ++repetition) {
        const auto products = again.apply(vectors);
        for (std::size_t entry = 0; entry < entries.size(); ++entry) {
          if (products[entry].numel() > 0) {
            EXPECT_LT(largest(products[entry] - expected[entry]), tolerance * (1 + largest(expected[entry])))
                << "entry " << entry;
          }
        }
      }
    }
  }
}

TEST(Tape, HoldsOneSegmentAtATimeBetweenCheckpoints) {
  // Twelve equal layers: without checkpoints, memory grows with their number.
  constexpr int layers = 12;
  Random random(60);
  Program program;
  program.n_inputs = 2;
  Parameters parameters;
  std::vector<ValueId> checkpoints;
  parameters.add("gate", random.normal({64, 16}));
  parameters.add("up", random.normal({64, 16}));
  parameters.add("down", random.normal({16, 64}));
  parameters.add("head", random.normal({5, 16}));
  ValueId x = 0;
  for (int layer = 0; layer < layers; ++layer) {
    const ValueId gate = program.push(Linear{"gate", ""}, {x});
    const ValueId up = program.push(Linear{"up", ""}, {x});
    const ValueId inner = program.push(SiluGate{}, {gate, up});
    x = program.push(Add{}, {x, program.push(Linear{"down", ""}, {inner})});
    checkpoints.push_back(x);
  }
  program.output = program.push(CrossEntropyHead{"head"}, {x, 1});
  const std::vector<at::Tensor> inputs = {random.normal({2, 32, 16}), random.integers(0, 5, {2, 32})};
  const at::Tensor v = random.normal({2, 1, 32 * 16});
  const auto peak_with = [&](const std::vector<ValueId>& chosen) {
    const MemoryScope memory;
    const TapeOperator op({program, parameters, inputs, {0}, chosen});
    op.apply(v);
    return memory.peak_bytes();
  };
  EXPECT_LT(peak_with(checkpoints) * 3, peak_with({}));
}

TEST(Tape, GivesLossesAndGradients) {
  const Problem problem(20);
  const Tape tape(problem.program, problem.parameters, problem.inputs, {0, problem.inner});
  const auto losses = [&](const at::Tensor& x, const ProblemIndices&) {
    return evaluate(problem.program, problem.parameters, std::vector{x, problem.inputs[1]});
  };
  const auto expected = value_and_gradient(losses, problem.inputs[0], all_problems(3));
  EXPECT_LT(largest(tape.losses() - expected.value), tolerance);
  EXPECT_LT(largest(tape.gradient(0) - expected.gradient), tolerance);
  EXPECT_EQ(tape.gradient(1).sizes(), (std::vector<int64_t>{3, 3, 5}));
}

TEST(Tape, MaterialisesOneChunkOfTheLogitsAtATime) {
  // 2 x 480 positions of 100,000 words: more than one chunk, and more probabilities than are kept.
  constexpr int64_t positions = 480;
  constexpr int64_t words = 100'000;
  Random random(30);
  Program program;
  program.n_inputs = 2;
  program.output = program.push(CrossEntropyHead{"head"}, {0, 1});
  Parameters parameters;
  parameters.add("head", random.normal({words, 3}));
  const std::vector<at::Tensor> inputs = {random.normal({2, positions, 3}), random.integers(0, words, {2, positions})};
  const MemoryScope memory;
  const TapeOperator op(program, parameters, inputs, 0);
  const at::Tensor v = random.normal({2, 1, op.dim()});
  const at::Tensor product = op.apply(v).view({2, positions, 3});
  constexpr int64_t logits_bytes = 2 * positions * words * 8;
  EXPECT_LT(memory.peak_bytes(), logits_bytes / 2);
  // Positions do not interact: at each, H is W^T (diag(p) - p p^T) W with the head's weight W.
  const at::Tensor& head = parameters.at("head");
  for (const int64_t position : {int64_t{0}, int64_t{57}, positions - 1}) {
    const at::Tensor p = at::softmax(at::mv(head, inputs[0][1][position]), 0);
    const at::Tensor zdot = at::mv(head, v.view({2, positions, 3})[1][position]);
    const at::Tensor expected = at::mv(head.t(), p * (zdot - (p * zdot).sum())) / positions;
    EXPECT_LT(largest(product[1][position] - expected), 1e-10 * largest(expected)) << position;
  }
}

TEST(Tape, RoundsOnlyTheFactorsOfProductsIfWeightsAreBfloat16) {
  // The weights are exact in bfloat16, which leaves the rounding of activations and products, 2^-9 each.
  Problem problem(80);
  Parameters rounded;
  Parameters exact;
  for (const auto& [name, tensor] : problem.parameters) {
    rounded.add(name, tensor.to(at::kBFloat16));
    exact.add(name, tensor.to(at::kBFloat16).to(at::kDouble));
  }
  const std::vector<at::Tensor> single = {problem.inputs[0].to(at::kFloat), problem.inputs[1]};
  const TapeOperator mixed(problem.program, rounded, single, 0);
  EXPECT_EQ(mixed.vector_options().dtype(), at::kFloat);
  const at::Tensor dense = to_dense(mixed).to(at::kDouble);
  const at::Tensor expected = to_dense(TapeOperator(problem.program, exact, problem.inputs, 0));
  const double error = largest(dense - expected) / largest(expected);
  EXPECT_LT(error, 0.05);
  EXPECT_GT(error, 1e-5) << "nothing was rounded";
}

TEST(Tape, RefusesInvalidArguments) {
  const Problem problem(40);
  const auto make = [&](std::vector<ValueId> entries) {
    return support::refusal_of<std::invalid_argument>(
        [&] { Tape(problem.program, problem.parameters, problem.inputs, entries); });
  };
  EXPECT_THAT(make({}), HasSubstr("ascending order"));
  EXPECT_THAT(
      support::refusal_of<std::invalid_argument>([&] { TapeOperator(problem.program, problem.parameters, {}, 0); }),
      HasSubstr("at least one"));
  EXPECT_THAT(make({3, 2}), HasSubstr("ascending order"));
  EXPECT_THAT(make({99}), HasSubstr("ascending order"));
  Program with_idle_step = problem.program;
  const ValueId idle = with_idle_step.push(Identity{}, {0});
  EXPECT_THAT(support::refusal_of<std::invalid_argument>(
                  [&] { Tape(with_idle_step, problem.parameters, problem.inputs, {idle}); }),
              HasSubstr("does not depend on value " + std::to_string(idle)));
  Program without_head = problem.program;
  without_head.output = problem.inner;
  EXPECT_THAT(
      support::refusal_of<std::invalid_argument>([&] { Tape(without_head, problem.parameters, problem.inputs, {0}); }),
      HasSubstr("expected one loss for each of 3 sequences"));
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] {
                const std::vector<at::Tensor> half = {problem.inputs[0].to(at::kBFloat16), problem.inputs[1]};
                Tape(problem.program, problem.parameters, half, {0});
              }),
              HasSubstr("float32 or float64"));
  const Tape tape(problem.program, problem.parameters, problem.inputs, {0});
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] { tape.apply({}); }), HasSubstr("1 entries, not 0"));
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] {
                tape.apply({{problem.inputs[0], {0}}});
              }),
              HasSubstr("expected [1, ...] for an activation [3, 3, 4]"));
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] {
                tape.apply({{problem.inputs[0], {0, 1, 3}}});
              }),
              HasSubstr("sequence 3 is not among the tape's 3"));
  EXPECT_THAT(support::refusal_of<std::invalid_argument>([&] {
                TapeOperator({problem.program, problem.parameters, problem.inputs, {0, problem.inner}, {}});
              }),
              HasSubstr("one operator takes one shape"));
}

TEST(Program, AppendsAnotherWithItsSites) {
  Program layer;
  layer.n_inputs = 1;
  layer.sites["in"] = 0;
  const ValueId middle = layer.push(Linear{"a", ""}, {0});
  layer.sites["middle"] = middle;
  layer.output = layer.push(Add{}, {0, middle});
  Program whole;
  whole.n_inputs = 2;
  const ValueId once = whole.append(layer, {1}, "first.");
  whole.output = whole.append(layer, {once}, "second.");
  EXPECT_EQ(whole.sites, (std::map<std::string, ValueId>{
                             {"first.in", 1}, {"first.middle", 2}, {"second.in", 3}, {"second.middle", 4}}));
  Random random(50);
  Parameters parameters;
  parameters.add("a", random.normal({4, 4}));
  const at::Tensor x = random.normal({1, 2, 4});
  const at::Tensor once_more = at::eye(4, at::kDouble) + parameters.at("a").t();
  EXPECT_LT(largest(evaluate(whole, parameters, std::vector{at::Tensor(), x}) -
                    at::matmul(at::matmul(x, once_more), once_more)),
            tolerance);
}

}  // namespace
}  // namespace hessian::tests
