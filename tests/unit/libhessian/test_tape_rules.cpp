#include <ATen/Context.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "cuda_device.h"
#include "hessian/evaluate.h"
#include "hessian/memory.h"
#include "hessian/tape.h"
#include "primitive_cases.h"
#include "random_problems.h"
#include "refusal.h"
#include "tape/rule.h"

using torch::autograd::grad;

// Compares each primitive's derivative and tangents with LibTorch's autograd of the same primitive, in float64.

namespace hessian::tests {
namespace {

using support::largest;
using support::PrimitiveCase;
using support::Random;

std::vector<PrimitiveCase> cases() {
  auto cases = support::primitive_cases();
  cases.push_back({"CrossEntropyHead", hessian::CrossEntropyHead{"head"}, {6}});
  cases.push_back({"CrossEntropyHeadCapped", hessian::CrossEntropyHead{"head", 1.5}, {6}});
  return cases;
}

/// One primitive at a random point, with autograd's graph of its value and its cotangents.
struct Problem {
  Problem(const PrimitiveCase& chosen, uint64_t seed) : random(seed), operation(chosen.operation) {
    parameters = support::primitive_parameters(random);
    const int64_t sequences = random.integer(1, 3);
    const int64_t positions = random.integer(1, 6);
    for (const int64_t width : chosen.widths) {
      variables.push_back(random.normal({sequences, positions, width}).requires_grad_());
      inputs.push_back(variables.back());
    }
    if (std::holds_alternative<CrossEntropyHead>(operation)) {
      inputs.push_back(random.integers(0, 11, {sequences, positions}));
    }
    value = apply_operation(operation, parameters, inputs);
    cotangent = random.normal(value.sizes()).requires_grad_();
    cotangents = grad({value}, variables, {cotangent}, true, true);
    rule = tape::record_operation(operation, detached(inputs), parameters);
  }

  static std::vector<at::Tensor> detached(const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> result;
    for (const at::Tensor& tensor : tensors) {
      result.push_back(tensor.detach());
    }
    return result;
  }

  /// Draws k tangents of each input, [S, k, T, width]; those of token ids are undefined.
  std::vector<at::Tensor> random_tangents(int64_t k) {
    std::vector<at::Tensor> tangents(inputs.size());
    for (std::size_t i = 0; i < variables.size(); ++i) {
      tangents[i] = random_tangent(variables[i], k);
    }
    return tangents;
  }

  at::Tensor random_tangent(const at::Tensor& x, int64_t k) {
    auto shape = x.sizes().vec();
    shape.insert(shape.begin() + 1, k);
    return random.normal(shape);
  }

  /// Returns the derivative of <f, w> along a direction of the variables and of the cotangent.
  double along(const at::Tensor& f, const at::Tensor& w, const std::vector<at::Tensor>& direction, int64_t vector,
               const at::Tensor& cotangent_tangent = {}) const {
    double sum = 0;
    std::vector<at::Tensor> points = variables;
    points.push_back(cotangent);
    if (!f.requires_grad()) {
      return sum;
    }
    const auto slopes = grad({f}, points, {w}, true, false, /*allow_unused=*/true);
    for (std::size_t i = 0; i < points.size(); ++i) {
      const at::Tensor& along_i = i < variables.size() ? direction[i] : cotangent_tangent;
      if (slopes[i].defined() && along_i.defined()) {
        sum += (slopes[i] * along_i.select(1, vector)).sum().item<double>();
      }
    }
    return sum;
  }

  Random random;
  Operation operation;
  Parameters parameters;
  std::vector<at::Tensor> variables;
  std::vector<at::Tensor> inputs;
  at::Tensor value;
  at::Tensor cotangent;
  std::vector<at::Tensor> cotangents;
  tape::RulePtr rule;
};

constexpr uint64_t seeds = 8;
/// Tolerance for sums of at most a few hundred terms of size 1 in float64.
constexpr double tolerance = 1e-11;

class TapeRule : public testing::TestWithParam<PrimitiveCase> {};

TEST_P(TapeRule, GivesThePrimitivesValueAndCotangents) {
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(GetParam(), seed);
    EXPECT_LT(largest(problem.rule->take_value() - problem.value), tolerance);
    const auto cotangents = problem.rule->vjp(problem.cotangent.detach());
    ASSERT_EQ(cotangents.size(), problem.inputs.size());
    for (std::size_t i = 0; i < problem.variables.size(); ++i) {
      EXPECT_LT(largest(cotangents[i] - problem.cotangents[i]), tolerance) << "input " << i;
    }
  }
}

TEST_P(TapeRule, GivesTheTangentsOfTheValueAndOfTheCotangents) {
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(GetParam(), seed);
    const int64_t k = problem.random.integer(1, 3);
    problem.rule->vjp(problem.cotangent.detach());
    const auto tangents = problem.random_tangents(k);
    const at::Tensor cotangent_tangent = problem.random_tangent(problem.cotangent, k);
    tape::Scratch scratch;
    const at::Tensor value_tangent = problem.rule->jvp(tangents, scratch);
    const auto cotangent_tangents = problem.rule->vjp_tangent(cotangent_tangent, scratch);
    ASSERT_EQ(cotangent_tangents.size(), problem.inputs.size());
    for (int64_t vector = 0; vector < k; ++vector) {
      const at::Tensor w = problem.random.normal(problem.value.sizes());
      EXPECT_NEAR((value_tangent.select(1, vector) * w).sum().item<double>(),
                  problem.along(problem.value, w, tangents, vector), tolerance);
      for (std::size_t i = 0; i < problem.variables.size(); ++i) {
        const at::Tensor u = problem.random.normal(problem.variables[i].sizes());
        EXPECT_NEAR((cotangent_tangents[i].select(1, vector) * u).sum().item<double>(),
                    problem.along(problem.cotangents[i], u, tangents, vector, cotangent_tangent), tolerance)
            << "input " << i;
      }
    }
  }
}

TEST_P(TapeRule, GivesTheSameTangentOfTheValueBeforeItKnowsItsCotangent) {
  // With checkpoints, the forward half of a product records values only. The loss is exempt; see Rule.
  Problem problem(GetParam(), 9);
  if (std::holds_alternative<CrossEntropyHead>(problem.operation)) {
    return;
  }
  const auto tangents = problem.random_tangents(2);
  tape::Scratch before;
  const at::Tensor value_tangent = problem.rule->jvp(tangents, before);
  problem.rule->vjp(problem.cotangent.detach());
  tape::Scratch after;
  EXPECT_TRUE(at::equal(value_tangent, problem.rule->jvp(tangents, after)));
}

TEST_P(TapeRule, AgreesWithFiniteDifferences) {
  // Central differences with steps of 1e-4 of quantities of size 1: third derivatives contribute about 1e-8.
  constexpr double step = 1e-4;
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(GetParam(), seed);
    const at::Tensor cotangent = problem.cotangent.detach();
    problem.rule->vjp(cotangent);
    const auto tangents = problem.random_tangents(1);
    const at::Tensor cotangent_tangent = problem.random_tangent(problem.cotangent, 1);
    tape::Scratch scratch;
    const at::Tensor value_tangent = problem.rule->jvp(tangents, scratch);
    const auto cotangent_tangents = problem.rule->vjp_tangent(cotangent_tangent, scratch);
    // Returns the value and the cotangents of the inputs at a point moved along the tangents.
    const auto moved = [&](double distance) {
      auto inputs = Problem::detached(problem.inputs);
      for (std::size_t i = 0; i < problem.variables.size(); ++i) {
        inputs[i] = inputs[i] + distance * tangents[i].select(1, 0);
      }
      const auto rule = tape::record_operation(problem.operation, inputs, problem.parameters);
      std::vector<at::Tensor> result = {rule->take_value()};
      for (const at::Tensor& term : rule->vjp(cotangent + distance * cotangent_tangent.select(1, 0))) {
        result.push_back(term);
      }
      return result;
    };
    const auto ahead = moved(step);
    const auto behind = moved(-step);
    EXPECT_LT(largest((ahead[0] - behind[0]) / (2 * step) - value_tangent.select(1, 0)), 1e-6);
    for (std::size_t i = 0; i < problem.variables.size(); ++i) {
      EXPECT_LT(largest((ahead[i + 1] - behind[i + 1]) / (2 * step) - cotangent_tangents[i].select(1, 0)), 1e-6)
          << "input " << i;
    }
  }
}

/// Returns everything that a rule computes at a point, on a device.
std::vector<at::Tensor> everything(const Operation& operation, const Parameters& parameters,
                                   const std::vector<at::Tensor>& inputs, const at::Tensor& cotangent,
                                   const std::vector<at::Tensor>& tangents, const at::Tensor& cotangent_tangent,
                                   at::Device device) {
  const auto moved = [device](const std::vector<at::Tensor>& tensors) {
    std::vector<at::Tensor> there;
    for (const at::Tensor& tensor : tensors) {
      there.push_back(tensor.defined() ? tensor.to(device) : tensor);
    }
    return there;
  };
  const auto rule = tape::record_operation(operation, moved(inputs), parameters.to(device, at::kDouble));
  std::vector<at::Tensor> results = {rule->take_value()};
  const auto add = [&results](const std::vector<at::Tensor>& terms) {
    for (const at::Tensor& term : terms) {
      if (term.defined()) {
        results.push_back(term.cpu());
      }
    }
  };
  add(rule->vjp(cotangent.to(device)));
  tape::Scratch scratch;
  add({rule->jvp(moved(tangents), scratch)});
  add(rule->vjp_tangent(cotangent_tangent.to(device), scratch));
  results[0] = results[0].cpu();
  return results;
}

TEST_P(TapeRule, GivesTheSameOnACudaDevice) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  for (uint64_t seed = 0; seed < seeds; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Problem problem(GetParam(), seed);
    const auto tangents = problem.random_tangents(3);
    const at::Tensor cotangent_tangent = problem.random_tangent(problem.cotangent, 3);
    const auto on = [&](at::Device device) {
      return everything(problem.operation, problem.parameters, Problem::detached(problem.inputs),
                        problem.cotangent.detach(), tangents, cotangent_tangent, device);
    };
    const auto host = on(at::kCPU);
    const auto device = on(at::kCUDA);
    ASSERT_EQ(host.size(), device.size());
    for (std::size_t i = 0; i < host.size(); ++i) {
      EXPECT_LT(largest(host[i] - device[i]), tolerance) << "result " << i;
    }
  }
}

TEST(TapeRules, WideRowsAgreeOnACudaDevice) {
  if (!support::has_cuda()) {
    GTEST_SKIP() << support::no_cuda;
  }
  // Wider than the rows for one warp: thread blocks share a row.
  constexpr int64_t width = 2500;
  Random random(90);
  Parameters parameters;
  parameters.add("g", random.normal({width}));
  parameters.add("head", random.normal({width, 8}));
  const std::vector<std::pair<Operation, int64_t>> wide = {
      {RmsNorm{"g", 0.1}, width}, {LayerNorm{"g", "", 0.1}, width}, {Gelu{true}, width}, {CrossEntropyHead{"head"}, 8}};
  for (const auto& [operation, columns] : wide) {
    const bool head = std::holds_alternative<CrossEntropyHead>(operation);
    std::vector<at::Tensor> inputs = {random.normal({2, 3, columns})};
    std::vector<at::Tensor> tangents = {random.normal({2, 2, 3, columns})};
    at::Tensor cotangent = random.normal({2, 3, columns});
    at::Tensor cotangent_tangent = random.normal({2, 2, 3, columns});
    if (head) {
      inputs.push_back(random.integers(0, width, {2, 3}));
      tangents.emplace_back();
      cotangent = random.normal({2});
      cotangent_tangent = random.normal({2, 2});
    }
    const auto host = everything(operation, parameters, inputs, cotangent, tangents, cotangent_tangent, at::kCPU);
    const auto device = everything(operation, parameters, inputs, cotangent, tangents, cotangent_tangent, at::kCUDA);
    for (std::size_t i = 0; i < host.size(); ++i) {
      EXPECT_LT(largest(host[i] - device[i]), 1e-9 * largest(host[i])) << "result " << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Primitives, TapeRule, testing::ValuesIn(cases()),
                         [](const auto& instance) { return instance.param.name; });

struct Heads {
  int64_t queries;
  int64_t keys;
  int64_t width;
  int64_t positions;
};

/// Attention at a random point, with random tangents.
struct AttentionProblem {
  AttentionProblem(Heads heads, at::ScalarType dtype, int64_t sequences = 2, int64_t k = 3)
      : random(static_cast<uint64_t>(heads.positions)) {
    for (const int64_t count : {heads.queries, heads.keys, heads.keys}) {
      inputs.push_back(random.normal({sequences, heads.positions, count * heads.width}, dtype));
      tangents.push_back(random.normal({sequences, k, heads.positions, count * heads.width}, dtype));
    }
    cotangent = random.normal(inputs[0].sizes(), dtype);
    cotangent_tangent = random.normal(tangents[0].sizes(), dtype);
  }

  /// Returns the value and all tangents.
  std::vector<at::Tensor> run(const CausalAttention& attention, bool tiled) const {
    const auto rule = tape::record_attention(attention, inputs, tiled);
    std::vector<at::Tensor> results = {rule->take_value()};
    rule->vjp(cotangent);
    tape::Scratch scratch;
    results.push_back(rule->jvp(tangents, scratch));
    for (const at::Tensor& term : rule->vjp_tangent(cotangent_tangent, scratch)) {
      results.push_back(term);
    }
    return results;
  }

  Random random;
  std::vector<at::Tensor> inputs;
  std::vector<at::Tensor> tangents;
  at::Tensor cotangent;
  at::Tensor cotangent_tangent;
};

/// Makes at::empty() fill new memory with NaN, so that reading an entry that was not written shows in the results.
class EmptyMemoryIsNan {
 public:
  EmptyMemoryIsNan() {
    at::globalContext().setDeterministicFillUninitializedMemory(true);
    at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
  }
  ~EmptyMemoryIsNan() { at::globalContext().setDeterministicAlgorithms(false, false); }
  EmptyMemoryIsNan(const EmptyMemoryIsNan&) = delete;
  EmptyMemoryIsNan& operator=(const EmptyMemoryIsNan&) = delete;
};

// Attention by tiles and by batched products, at the same random point and along the same tangents.
TEST(TapeRules, AttentionAgreesByTilesAndByBatchedProducts) {
  const EmptyMemoryIsNan fill;
  ASSERT_TRUE(at::isnan(at::empty({1}, at::kDouble)).item<bool>());
  // Several tiles with a remainder, heads wider and narrower than a vector register, grouped queries, more than 256
  // positions. Windows within a tile, across tiles, and of all keys.
  for (const auto heads : {Heads{2, 2, 16, 130}, Heads{4, 2, 5, 97}, Heads{3, 1, 40, 48}, Heads{2, 1, 8, 270}}) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      const AttentionProblem problem(heads, dtype);
      for (const double cap : {0.0, 2.0}) {
        for (const int64_t window :
             {int64_t{0}, int64_t{1}, int64_t{7}, int64_t{60}, heads.positions - 1, int64_t{999}}) {
          SCOPED_TRACE(std::to_string(heads.positions) + " positions in " + c10::toString(dtype) + ", cap " +
                       std::to_string(cap) + ", window " + std::to_string(window));
          const CausalAttention attention{heads.queries, heads.keys, cap == 0 ? 0 : 0.7, cap, window};
          const auto tiles = problem.run(attention, true);
          const auto batched = problem.run(attention, false);
          for (std::size_t i = 0; i < tiles.size(); ++i) {
            EXPECT_LT(largest(tiles[i] - batched[i]),
                      (dtype == at::kDouble ? 1e-11 : 1e-4) * std::max(1.0, largest(batched[i])))
                << "result " << i;
          }
        }
      }
    }
  }
}

TEST(TapeRules, AttentionInAWindowDoesNotDependOnKeysOutsideOfIt) {
  // Positions from 40 + window on do not see the first 41.
  constexpr int64_t positions = 120;
  constexpr int64_t changed = 41;
  const AttentionProblem problem({4, 2, 5, positions}, at::kDouble);
  AttentionProblem other = problem;
  for (std::vector<at::Tensor>* const tensors : {&other.inputs, &other.tangents}) {
    for (at::Tensor& tensor : *tensors) {
      tensor = tensor.clone();
      tensor.narrow(-2, 0, changed).normal_();
    }
  }
  for (at::Tensor* const tensor : {&other.cotangent, &other.cotangent_tangent}) {
    *tensor = tensor->clone();
    tensor->narrow(-2, 0, changed).normal_();
  }
  for (const int64_t window : {1, 9, 70}) {
    for (const bool tiled : {true, false}) {
      SCOPED_TRACE("window " + std::to_string(window) + (tiled ? ", tiled" : ", batched"));
      const CausalAttention attention{4, 2, 0, 2.0, window};
      const auto found = problem.run(attention, tiled);
      const auto moved = other.run(attention, tiled);
      const auto differences = [&](std::size_t i) {  // per position
        return (found[i] - moved[i]).abs().transpose(0, -2).flatten(1).amax(1);
      };
      const int64_t first_unaffected = changed - 1 + window;
      for (const std::size_t i : {0, 1, 2}) {  // the value, its tangent, and the tangent of the queries' cotangent
        EXPECT_EQ(largest(differences(i).narrow(0, first_unaffected, positions - first_unaffected)), 0)
            << "result " << i;
        EXPECT_GT(differences(i)[first_unaffected - 1].item<double>(), 0) << "result " << i;
      }
    }
  }
}

TEST(TapeRules, ASoftCapOfTheScoresKeepsOneMatrixMoreForAnyNumberOfVectors) {
  constexpr int64_t positions = 256;
  constexpr int64_t k = 12;
  const AttentionProblem problem({2, 2, 4, positions}, at::kDouble, 1, k);
  constexpr int64_t matrix_bytes = 2 * positions * positions * 8;
  const auto peak_with = [&](double cap) {
    const MemoryScope memory;
    problem.run({2, 2, 0, cap}, /*tiled=*/true);
    return memory.peak_bytes();
  };
  const int64_t without = peak_with(0);
  EXPECT_GT(without, k * matrix_bytes);
  EXPECT_LT(peak_with(5.0), without + 3 * matrix_bytes / 2);
}

TEST(TapeRules, RefuseTokenIds) {
  const Parameters none;
  const std::vector<at::Tensor> inputs = {at::zeros({1, 2}, at::kLong)};
  const Operation embedding = Embedding{"table"};
  EXPECT_EQ(support::refusal_of<std::invalid_argument>([&] { tape::record_operation(embedding, inputs, none); }),
            "token ids have no tangents: a tape begins after the embedding");
}

}  // namespace
}  // namespace hessian::tests
