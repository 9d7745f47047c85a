#include "hessian/hessian_operator.h"

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "hessian/dense_operator.h"
#include "hessian/evaluate.h"
#include "hessian/finite_difference.h"
#include "hessian/memory.h"
#include "random_problems.h"
#include "refusal.h"

using hessian::HessianOperator;
using hessian::HessianOptions;
using hessian::ProblemFunction;
using hessian::ProblemIndices;
using hessian::support::largest;
using hessian::support::Random;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

/// Returns the function x^T A_s x / 2 + b_s^T x, whose Hessian is (A_s + A_s^T) / 2.
ProblemFunction quadratic(const at::Tensor& a, const at::Tensor& b) {
  return [=](const at::Tensor& x, const ProblemIndices& problems) {
    const at::Tensor flat = x.flatten(1);
    const at::Tensor ax = at::bmm(hessian::rows_of(a, problems), flat.unsqueeze(2)).squeeze(2);
    return (flat * (ax / 2 + hessian::rows_of(b, problems))).sum(1);
  };
}

/// A transformer layer with attention, norms and a gated feed-forward layer, in front of a cross-entropy: the widest
/// mixture of primitives, with random weights.
struct RandomLayer {
  RandomLayer(Random& random, int64_t sequences, int64_t positions) {
    constexpr int64_t dim = 8;
    constexpr int64_t vocab = 11;
    const auto add = [&](const std::string& name, at::IntArrayRef shape) {
      parameters.add(name, random.normal(shape) / 2);
    };
    for (const char* name : {"q", "k", "v", "o", "up", "gate", "down"}) {
      add(name, {dim, dim});
    }
    add("gain", {dim});
    add("bias", {dim});
    add("head", {vocab, dim});
    program.n_inputs = 2;
    const auto linear = [&](const char* name, int x) { return program.push(hessian::Linear{name, ""}, {x}); };
    const int a = program.push(hessian::RmsNorm{"gain"}, {0});
    const int q = program.push(hessian::Rope{4, 100.0}, {linear("q", a)});
    const int k = program.push(hessian::Rope{4, 100.0}, {linear("k", a)});
    const int mixed = program.push(hessian::CausalAttention{2, 2}, {q, k, linear("v", a)});
    const int middle = program.push(hessian::Add{}, {0, linear("o", mixed)});
    const int b = program.push(hessian::LayerNorm{"gain", "bias"}, {middle});
    const int inner = program.push(hessian::SiluGate{}, {linear("gate", b), linear("up", b)});
    const int out = program.push(hessian::Add{}, {middle, linear("down", inner)});
    program.output = program.push(hessian::CrossEntropyHead{"head"}, {out, 1});
    x = random.normal({sequences, positions, dim});
    targets = random.integers(0, vocab, {sequences, positions});
  }

  ProblemFunction losses() const {
    return [this](const at::Tensor& activation, const ProblemIndices& problems) {
      return hessian::evaluate(program, parameters, std::array{activation, hessian::rows_of(targets, problems)});
    };
  }

  hessian::Parameters parameters;
  hessian::Program program;
  at::Tensor x;
  at::Tensor targets;
};

TEST(HessianOperator, HasTheMatrixOfAQuadraticForm) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const int64_t problems = random.integer(1, 4);
    const int64_t n = 2 * random.integer(1, 6);
    SCOPED_TRACE("problems " + std::to_string(problems) + ", n " + std::to_string(n) + ", seed " +
                 std::to_string(seed));
    const at::Tensor a = random.normal({problems, n, n});
    const HessianOperator op(quadratic(a, random.normal({problems, n})), random.normal({problems, 2, n / 2}));
    EXPECT_EQ(op.problems(), problems);
    EXPECT_EQ(op.dim(), n);
    EXPECT_LT(largest(hessian::to_dense(op) - (a + a.transpose(1, 2)) / 2), 1e-12);
  }
}

TEST(HessianOperator, HasTheMatrixOfAQuartic) {
  // f = (x^T x)^2 / 4: H = (x^T x) I + 2 x x^T.
  const at::Tensor x = Random(1).normal({3, 7});
  const HessianOperator op([](const at::Tensor& y, const ProblemIndices&) { return y.square().sum(1).square() / 4; },
                           x);
  const at::Tensor expected =
      x.square().sum(1).view({3, 1, 1}) * at::eye(7, at::kDouble) + 2 * x.unsqueeze(2) * x.unsqueeze(1);
  EXPECT_LT(largest(hessian::to_dense(op) - expected), 1e-12);
}

TEST(HessianOperator, HasTheMatrixOfARationalFunction) {
  // f = c^T x / (1 + x^T x). With q = 1 + x^T x: H = -2 (c x^T + x c^T + (c^T x) I) / q^2 + 8 (c^T x) x x^T / q^3.
  Random random(2);
  const at::Tensor x = random.normal({2, 5});
  const at::Tensor c = random.normal({5});
  const HessianOperator op(
      [c](const at::Tensor& y, const ProblemIndices&) { return at::matmul(y, c) / (1 + y.square().sum(1)); }, x);
  const at::Tensor q = (1 + x.square().sum(1)).view({2, 1, 1});
  const at::Tensor cx = at::matmul(x, c).view({2, 1, 1});
  const at::Tensor mixed = c.view({1, 5, 1}) * x.unsqueeze(1);
  const at::Tensor expected = -2 * (mixed + mixed.transpose(1, 2) + cx * at::eye(5, at::kDouble)) / q.square() +
                              8 * cx * x.unsqueeze(2) * x.unsqueeze(1) / q.pow(3);
  EXPECT_LT(largest(hessian::to_dense(op) - expected), 1e-13);
}

TEST(HessianOperator, TakesOneValuePerProblem) {
  const at::Tensor x = Random(3).normal({4});
  const HessianOperator op([](const at::Tensor& y, const ProblemIndices&) { return y.pow(4); }, x);
  EXPECT_EQ(op.dim(), 1);
  EXPECT_LT(largest(hessian::to_dense(op).flatten() - 12 * x.square()), 1e-12);
}

TEST(HessianOperator, IsZeroForLinearConstantAndPartlyLinearFunctions) {
  Random random(4);
  const at::Tensor x = random.normal({2, 6});
  const at::Tensor v = random.normal({2, 3, 6});
  const at::Tensor b = random.normal({2, 6});
  const auto product = [&](const ProblemFunction& f) { return HessianOperator(f, x).apply(v); };
  EXPECT_EQ(largest(product([b](const at::Tensor& y, const ProblemIndices&) { return (y * b).sum(1); })), 0.0);
  EXPECT_EQ(
      largest(product([](const at::Tensor& y, const ProblemIndices&) { return at::ones({y.size(0)}, y.options()); })),
      0.0);
  // Depends on another tensor that requires a gradient, and not on x.
  const at::Tensor other = at::ones({2}, at::kDouble).requires_grad_();
  EXPECT_EQ(largest(product([other](const at::Tensor&, const ProblemIndices&) { return other.square(); })), 0.0);
}

TEST(HessianOperator, AgreesWithCentralDifferencesOnARandomTransformerLayer) {
  for (uint64_t seed = 0; seed < 4; ++seed) {
    Random random(seed);
    const RandomLayer problem(random, 3, random.integer(1, 6));
    SCOPED_TRACE("x " + std::to_string(problem.x.size(1)) + " positions, seed " + std::to_string(seed));
    const HessianOperator op(problem.losses(), problem.x);
    const at::Tensor v = random.normal({3, op.dim()});
    const at::Tensor differences = hessian::central_difference_product(problem.losses(), problem.x, v);
    // Central differences in float64 have errors of the 2/3 power of rounding, about 4e-11, times higher derivatives.
    EXPECT_LT(largest(hessian::relative_difference(op.apply(v.unsqueeze(1)).squeeze(1), differences)), 1e-7);
  }
}

TEST(HessianOperator, IsSymmetric) {
  Random random(5);
  const RandomLayer problem(random, 4, 5);
  const HessianOperator op(problem.losses(), problem.x);
  const at::Tensor v = random.normal({4, 1, op.dim()});
  const at::Tensor w = random.normal({4, 1, op.dim()});
  const at::Tensor vhw = (v * op.apply(w)).sum({1, 2});
  const at::Tensor whv = (w * op.apply(v)).sum({1, 2});
  EXPECT_GT(largest(vhw), 1e-3);
  EXPECT_LT(largest(vhw - whv), 1e-12 * largest(vhw));
}

TEST(HessianOperator, GivesTheSameProductsHoweverTheProblemsShareGraphs) {
  Random random(6);
  const RandomLayer problem(random, 5, 4);
  const HessianOperator whole(problem.losses(), problem.x);
  const at::Tensor v = random.normal({5, 2, whole.dim()});
  const at::Tensor expected = whole.apply(v);
  const auto check = [&](const HessianOptions& options) {
    const HessianOperator op(problem.losses(), problem.x, options);
    for (int repeat = 0; repeat < 2; ++repeat) {
      EXPECT_LT(largest(op.apply(v) - expected), 1e-13 * largest(expected)) << op.problems_per_graph() << " a graph";
    }
    return op.problems_per_graph();
  };
  for (const int64_t count : {1, 2, 3, 5}) {
    EXPECT_EQ(check({.memory_bytes = std::nullopt, .problems_per_graph = count}), count);
  }
  EXPECT_EQ(check({.memory_bytes = std::nullopt, .problems_per_graph = 99}), 5);
  EXPECT_EQ(check({.memory_bytes = 1, .problems_per_graph = 2}), 2) << "the number of problems wins";
  const int64_t one = hessian::measure_problem_bytes(problem.losses(), problem.x);
  EXPECT_EQ(check({.memory_bytes = one * 5 / 2, .problems_per_graph = std::nullopt}), 2);
  EXPECT_EQ(check({.memory_bytes = one * 100, .problems_per_graph = std::nullopt}), 5);
}

TEST(HessianOperator, TakesSubsetsOfTheProblemsInAnyOrderAndSequence) {
  Random random(7);
  const RandomLayer problem(random, 5, 3);
  const at::Tensor v = random.normal({5, 1, 24});
  const at::Tensor expected = HessianOperator(problem.losses(), problem.x).apply(v);
  for (const int64_t per_graph : {1, 2, 5}) {
    const HessianOperator op(problem.losses(), problem.x, {.memory_bytes = {}, .problems_per_graph = per_graph});
    for (const ProblemIndices& problems :
         {ProblemIndices{0, 1, 2, 3, 4}, ProblemIndices{4, 2, 0}, ProblemIndices{2}, ProblemIndices{3, 2},
          ProblemIndices{4, 3, 2, 1, 0}, ProblemIndices{1, 3, 4, 0}, ProblemIndices{0, 4}, ProblemIndices{1},
          ProblemIndices{1, 0, 4}}) {
      const at::Tensor product = op.apply(hessian::rows_of(v, problems), problems);
      EXPECT_LT(largest(product - hessian::rows_of(expected, problems)), 1e-13 * largest(expected))
          << per_graph << " a graph, problems " << at::IntArrayRef(problems);
    }
  }
}

TEST(HessianOperator, RecordsTheGraphAgainOnlyIfItHasTo) {
  Random random(8);
  const at::Tensor a = random.normal({4, 3, 3});
  const ProblemFunction f = quadratic(a, random.normal({4, 3}));
  std::vector<std::size_t> recordings;
  const HessianOperator op(
      [&](const at::Tensor& x, const ProblemIndices& problems) {
        recordings.push_back(problems.size());
        return f(x, problems);
      },
      random.normal({4, 3}));
  const auto apply = [&](const ProblemIndices& problems) {
    op.apply(random.normal({static_cast<int64_t>(problems.size()), 2, 3}), problems);
  };
  EXPECT_TRUE(recordings.empty()) << "nothing is recorded before it is needed";
  apply({0, 1, 2, 3});
  apply({3, 2, 1, 0});
  EXPECT_EQ(recordings, (std::vector<std::size_t>{4}));
  apply({0, 2});  // half of the problems: a graph of their own is cheaper
  apply({2, 0});
  EXPECT_EQ(recordings, (std::vector<std::size_t>{4, 2}));
  apply({1});  // not in the current graph
  EXPECT_EQ(recordings, (std::vector<std::size_t>{4, 2, 1}));
}

TEST(HessianOperator, RefusesAByteBudgetBelowOneProblemAndNamesTheBytesItNeeds) {
  Random random(9);
  const RandomLayer problem(random, 2, 6);
  const std::string needed = hessian::format_bytes(hessian::measure_problem_bytes(problem.losses(), problem.x));
  EXPECT_EQ(refusal_of<std::runtime_error>([&] {
              HessianOperator(problem.losses(), problem.x, {.memory_bytes = 1024, .problems_per_graph = {}});
            }),
            "one problem needs " + needed + " of memory, 1.0 KiB are allowed");
}

TEST(HessianOperator, NeedsMemoryInProportionToTheSequence) {
  Random random(10);
  // Short enough for the attention weights, T^2, to be small compared with the activations.
  const auto bytes = [&](int64_t positions) {
    const RandomLayer problem(random, 1, positions);
    return static_cast<double>(hessian::measure_problem_bytes(problem.losses(), problem.x));
  };
  const double ratio = bytes(8) / bytes(4);
  EXPECT_GT(ratio, 1.6);
  EXPECT_LT(ratio, 2.6);
}

TEST(HessianOperator, StaysWithinTheMemoryThatItMeasured) {
  Random random(11);
  const RandomLayer problem(random, 6, 16);
  const int64_t budget = 2 * hessian::measure_problem_bytes(problem.losses(), problem.x);
  const HessianOperator op(problem.losses(), problem.x, {.memory_bytes = budget, .problems_per_graph = {}});
  EXPECT_EQ(op.problems_per_graph(), 2);
  const at::Tensor v = random.normal({6, 1, op.dim()});
  const hessian::MemoryScope scope;
  op.apply(v);
  // The result for all problems does not count in the measurement.
  EXPECT_LE(scope.peak_bytes(), budget + 2 * static_cast<int64_t>(v.nbytes()) + 4096);
  EXPECT_GT(scope.peak_bytes(), budget * 9 / 10);
}

TEST(HessianOperator, ReleasesItsMemoryOnDestruction) {
  Random random(12);
  const RandomLayer problem(random, 3, 6);
  const at::Tensor v = random.normal({3, 1, 48});
  const hessian::MemoryScope scope;
  {
    const HessianOperator op(problem.losses(), problem.x);
    op.apply(v);
    EXPECT_GT(scope.current_bytes(), static_cast<int64_t>(problem.x.nbytes())) << "the graph is kept";
  }
  EXPECT_EQ(scope.current_bytes(), 0);
}

TEST(HessianOperator, RefusesFunctionsThatItCannotDifferentiate) {
  const ProblemFunction f = [](const at::Tensor& x, const ProblemIndices&) { return x.flatten(1).sum(1); };
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              HessianOperator(f, at::zeros({2, 3}, at::kLong));
            }),
            "x is [2, 3] of Long, expected [S, ...] of a floating-point type");
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              HessianOperator(f, at::zeros({0, 3}, at::kDouble));
            }),
            "x is [0, 3] of Double, expected [S, ...] of a floating-point type");
  EXPECT_NE(refusal_of<std::invalid_argument>([&] { HessianOperator(f, at::zeros({}, at::kDouble)); }), "");
  const HessianOperator op([](const at::Tensor& x, const ProblemIndices&) { return x.sum(); },
                           at::zeros({2, 3}, at::kDouble));
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] {
              op.apply(at::zeros({2, 1, 3}, at::kDouble));
            }),
            "the function returns [] for 2 problems, expected one value each");
}

TEST(HessianOperator, AcceptsFunctionsWithoutProblemIndices) {
  Random random(14);
  const at::Tensor x = random.normal({3, 4});
  const HessianOperator indexed([](const at::Tensor& y, const ProblemIndices&) { return y.pow(4).sum(1); }, x);
  const HessianOperator plain([](const at::Tensor& y) { return y.pow(4).sum(1); }, x);
  const std::function<at::Tensor(const at::Tensor&)> function = [](const at::Tensor& y) { return y.pow(4).sum(1); };
  const HessianOperator wrapped(function, x, {.problems_per_graph = 2});
  const at::Tensor expected = at::diag_embed(12 * x.square());
  for (const HessianOperator* op : {&indexed, &plain, &wrapped}) {
    EXPECT_LT(largest(hessian::to_dense(*op) - expected), 1e-12);
  }
  EXPECT_EQ(wrapped.problems_per_graph(), 2);
}

TEST(ValueAndGradient, GivesThoseOfEachProblemWithoutAGraph) {
  Random random(13);
  const at::Tensor a = random.normal({3, 4, 4});
  const at::Tensor b = random.normal({3, 4});
  const at::Tensor x = random.normal({2, 4});
  const ProblemIndices problems = {2, 0};
  const auto result = hessian::value_and_gradient(quadratic(a, b), x, problems);
  const at::Tensor rows = hessian::rows_of((a + a.transpose(1, 2)) / 2, problems);
  const at::Tensor hx = at::bmm(rows, x.unsqueeze(2)).squeeze(2);
  const at::Tensor offset = hessian::rows_of(b, problems);
  EXPECT_LT(largest(result.gradient - hx - offset), 1e-13);
  EXPECT_LT(largest(result.value - (x * (hx / 2 + offset)).sum(1)), 1e-13);
  EXPECT_FALSE(result.value.requires_grad() || result.gradient.requires_grad());
}

}  // namespace
}  // namespace hessian::tests
