#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/evaluate.h"
#include "hessian/hessian_operator.h"
#include "hessian/memory.h"
#include "hessian/tape_operator.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::Parameters;
using hessian::Program;
using hessian::Tape;
using hessian::TapeOperator;
using hessian::TapeVectors;
using hessian::ValueId;
using hessian::support::largest;
using hessian::support::Random;
using testing::HasSubstr;

// The tape against double backward through LibTorch, on a small network that uses a value several times.

namespace hessian::tests {
namespace {

constexpr double tolerance = 1e-12;

/// Two branches of one value that meet again, then a head.
struct Network {
  Program program;
  ValueId normed = 0;  ///< read by both branches
  ValueId middle = 0;  ///< of the first one's width, and read twice
  ValueId inner = 0;   ///< within the second branch, where the first one's result is alive

  Network() {
    program.n_inputs = 2;
    normed = program.push(hessian::RmsNorm{"g"}, {0});
    const ValueId mixed = program.push(hessian::CausalAttention{2, 2}, {normed, normed, normed});
    middle = program.push(hessian::Add{}, {0, mixed});
    const ValueId gate = program.push(hessian::Linear{"gate", ""}, {normed});
    const ValueId up = program.push(hessian::Linear{"up", ""}, {middle});
    inner = program.push(hessian::SiluGate{}, {gate, up});
    const ValueId down = program.push(hessian::Linear{"down", ""}, {inner});
    const ValueId joined = program.push(hessian::Add{}, {middle, down});
    program.output = program.push(hessian::CrossEntropyHead{"head"}, {joined, 1});
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

  /// The same Hessian by autograd: the value is replaced by the variable.
  hessian::HessianOperator reference(ValueId value) const {
    at::Tensor activation = inputs[0];
    if (value > 0) {
      hessian::EvaluateOptions options;
      options.observe = [&](ValueId id, const at::Tensor& tensor) { activation = id == value ? tensor : activation; };
      hessian::evaluate(program, parameters, inputs, options);
    }
    const auto losses = [this, value](const at::Tensor& x, const hessian::ProblemIndices& blocks) {
      hessian::EvaluateOptions options;
      options.overrides[value] = x;
      const std::vector<at::Tensor> rows = {value == 0 ? x : hessian::rows_of(inputs[0], blocks),
                                            hessian::rows_of(inputs[1], blocks)};
      return hessian::evaluate(program, parameters, rows, options);
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
    const Problem problem(seed);
    for (const ValueId value : {0, problem.normed, problem.inner}) {
      const TapeOperator op(problem.program, problem.parameters, problem.inputs, value);
      const at::Tensor dense = hessian::to_dense(op);
      const at::Tensor expected = hessian::to_dense(problem.reference(value));
      EXPECT_GT(largest(expected), 1e-3);
      EXPECT_LT(largest(dense - expected), tolerance) << "value " << value;
      EXPECT_LT(largest(dense - dense.transpose(1, 2)), tolerance);
    }
  }
}

TEST(TapeOperator, GivesTheSameProductsForSomeOfTheBlocksInAnyOrder) {
  Problem problem(5, 6);
  const TapeOperator op(problem.program, problem.parameters, problem.inputs, 0);
  const at::Tensor v = problem.random.normal({6, 2, op.dim()});
  const at::Tensor whole = op.apply(v);
  // All but one: taken from the tape at hand. Two: recorded again. Then blocks that the new tape does not have.
  for (const hessian::ProblemIndices& blocks :
       {hessian::ProblemIndices{5, 0, 1, 2, 3}, hessian::ProblemIndices{4, 1}, hessian::ProblemIndices{0, 4, 5}}) {
    const at::Tensor part = op.apply(hessian::rows_of(v, blocks), blocks);
    EXPECT_LT(largest(part - hessian::rows_of(whole, blocks)), tolerance);
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

TEST(TapeOperator, TakesSeveralValuesAsBlocksOfTheirOwn) {
  for (uint64_t seed = 70; seed < 74; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed, 4);
    const std::vector<ValueId> values = {0, problem.normed, problem.middle};
    const TapeOperator op({problem.program, problem.parameters, problem.inputs, values, {}});
    ASSERT_EQ(op.problems(), 12);
    std::vector<at::Tensor> parts;
    for (const ValueId value : values) {
      parts.push_back(hessian::to_dense(TapeOperator(problem.program, problem.parameters, problem.inputs, value)));
    }
    const at::Tensor dense = at::cat(parts);
    EXPECT_LT(largest(hessian::to_dense(op) - dense), tolerance);
    // Blocks that leave gaps, in no order, of fewer and fewer sequences, and then of more again.
    for (const hessian::ProblemIndices& blocks :
         {hessian::ProblemIndices{11, 0, 5, 6, 1}, hessian::ProblemIndices{2, 8, 10}, hessian::ProblemIndices{4},
          hessian::ProblemIndices{3, 7}}) {
      const at::Tensor v = problem.random.normal({static_cast<int64_t>(blocks.size()), 2, op.dim()});
      const at::Tensor expected = at::matmul(v, hessian::rows_of(dense, blocks));
      EXPECT_LT(largest(op.apply(v, blocks) - expected), tolerance * (1 + largest(expected)));
    }
  }
}

/// Random vectors at each entry for sequences drawn with repetition, so that some have several vectors and some none.
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

TEST(Tape, CarriesAnyVectorsOfSeveralValuesInOneSweep) {
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
          hessian::to_dense(TapeOperator(problem.program, problem.parameters, problem.inputs, entries[entry]));
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

TEST(Tape, GivesTheSameWhereItComputesPartsAgain) {
  for (uint64_t seed = 40; seed < 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(seed);
    const std::vector<ValueId> entries = {0, problem.normed, problem.inner};
    const auto steps = static_cast<ValueId>(problem.program.steps.size());
    // Every step a part of its own; parts that several values cross; one part after the first step.
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

TEST(Tape, HoldsOnePartAtATimeBetweenCheckpoints) {
  // Twelve equal layers: what is kept grows with them, what is computed again does not.
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
    const ValueId gate = program.push(hessian::Linear{"gate", ""}, {x});
    const ValueId up = program.push(hessian::Linear{"up", ""}, {x});
    const ValueId inner = program.push(hessian::SiluGate{}, {gate, up});
    x = program.push(hessian::Add{}, {x, program.push(hessian::Linear{"down", ""}, {inner})});
    checkpoints.push_back(x);
  }
  program.output = program.push(hessian::CrossEntropyHead{"head"}, {x, 1});
  const std::vector<at::Tensor> inputs = {random.normal({2, 32, 16}), random.integers(0, 5, {2, 32})};
  const at::Tensor v = random.normal({2, 1, 32 * 16});
  const auto peak_with = [&](const std::vector<ValueId>& chosen) {
    const hessian::MemoryScope memory;
    const TapeOperator op({program, parameters, inputs, {0}, chosen});
    op.apply(v);
    return memory.peak_bytes();
  };
  EXPECT_LT(peak_with(checkpoints) * 3, peak_with({}));
}

TEST(Tape, GivesLossesAndGradients) {
  const Problem problem(20);
  const Tape tape(problem.program, problem.parameters, problem.inputs, {0, problem.inner});
  const auto losses = [&](const at::Tensor& x, const hessian::ProblemIndices&) {
    return hessian::evaluate(problem.program, problem.parameters, std::vector{x, problem.inputs[1]});
  };
  const auto expected = hessian::value_and_gradient(losses, problem.inputs[0], hessian::all_problems(3));
  EXPECT_LT(largest(tape.losses() - expected.value), tolerance);
  EXPECT_LT(largest(tape.gradient(0) - expected.gradient), tolerance);
  EXPECT_EQ(tape.gradient(1).sizes(), (std::vector<int64_t>{3, 3, 5}));
}

TEST(Tape, HoldsNoMoreThanAChunkOfTheLogitsAndGivesTheSameProducts) {
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
  const hessian::MemoryScope memory;
  const TapeOperator op(program, parameters, inputs, 0);
  const at::Tensor v = random.normal({2, 1, op.dim()});
  const at::Tensor product = op.apply(v).view({2, positions, 3});
  constexpr int64_t logits_bytes = 2 * positions * words * 8;
  EXPECT_LT(memory.peak_bytes(), logits_bytes / 2);
  // Positions do not interact: H is (diag(p) - p p^T) between the columns of the head, for each.
  const at::Tensor& head = parameters.at("head");
  for (const int64_t position : {int64_t{0}, int64_t{57}, positions - 1}) {
    const at::Tensor p = at::softmax(at::mv(head, inputs[0][1][position]), 0);
    const at::Tensor zdot = at::mv(head, v.view({2, positions, 3})[1][position]);
    const at::Tensor expected = at::mv(head.t(), p * (zdot - (p * zdot).sum())) / positions;
    EXPECT_LT(largest(product[1][position] - expected), 1e-10 * largest(expected)) << position;
  }
}

TEST(Tape, RoundsTheFactorsOfProductsAloneWhereWeightsAreBfloat16) {
  // Weights that bfloat16 holds exactly: what is left is the rounding of activations and products, 2^-9 each.
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
  const at::Tensor dense = hessian::to_dense(mixed).to(at::kDouble);
  const at::Tensor expected = hessian::to_dense(TapeOperator(problem.program, exact, problem.inputs, 0));
  const double error = largest(dense - expected) / largest(expected);
  EXPECT_LT(error, 0.05);
  EXPECT_GT(error, 1e-5) << "nothing was rounded";
}

TEST(Tape, RefusesWhatDoesNotFit) {
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
  const ValueId idle = with_idle_step.push(hessian::Identity{}, {0});
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
  Program part;
  part.n_inputs = 1;
  part.sites["in"] = 0;
  const ValueId middle = part.push(hessian::Linear{"a", ""}, {0});
  part.sites["middle"] = middle;
  part.output = part.push(hessian::Add{}, {0, middle});
  Program whole;
  whole.n_inputs = 2;
  const ValueId once = whole.append(part, {1}, "first.");
  whole.output = whole.append(part, {once}, "second.");
  EXPECT_EQ(whole.sites, (std::map<std::string, ValueId>{
                             {"first.in", 1}, {"first.middle", 2}, {"second.in", 3}, {"second.middle", 4}}));
  Random random(50);
  Parameters parameters;
  parameters.add("a", random.normal({4, 4}));
  const at::Tensor x = random.normal({1, 2, 4});
  const at::Tensor once_more = at::eye(4, at::kDouble) + parameters.at("a").t();
  EXPECT_LT(largest(hessian::evaluate(whole, parameters, std::vector{at::Tensor(), x}) -
                    at::matmul(at::matmul(x, once_more), once_more)),
            tolerance);
}

}  // namespace
}  // namespace hessian::tests
