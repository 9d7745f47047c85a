#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "counting_source.h"
#include "hessian/evaluate.h"
#include "hessian/tape.h"
#include "random_problems.h"

// Tests that deferred parameters give the same numbers as materialised ones, in which order they are loaded, and how
// much memory they take.

namespace hessian::tests {
namespace {

using support::CountingSource;
using support::Random;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr int64_t width = 6;
constexpr int layers = 4;

/// Layers x + W2 gelu(W1 norm(x)) + b, then a head.
struct Chain {
  explicit Chain(at::ScalarType dtype) : random(5) {
    program.n_inputs = 2;
    ValueId x = 0;
    for (int layer = 0; layer < layers; ++layer) {
      const std::string prefix = std::to_string(layer) + ".";
      const auto parameter = [&](const std::string& name, at::IntArrayRef shape) {
        parameters.add(prefix + name, random.normal(shape).to(dtype));
        return prefix + name;
      };
      const ValueId normed = program.push(RmsNorm{parameter("g", {width})}, {x});
      const ValueId inner = program.push(Linear{parameter("w1", {2 * width, width}), ""}, {normed});
      const ValueId gelu = program.push(Gelu{}, {inner});
      const ValueId outer = program.push(Linear{parameter("w2", {width, 2 * width}), parameter("b", {width})}, {gelu});
      x = program.push(Add{}, {x, outer});
      ends.push_back(x);
    }
    parameters.add("head", random.normal({5, width}).to(dtype));
    program.output = program.push(CrossEntropyHead{"head"}, {x, 1});
    inputs = {random.normal({2, 3, width}).to(dtype), random.integers(0, 5, {2, 3})};
    source = std::make_shared<CountingSource>(parameters);
  }

  Parameters deferred() const { return support::deferred(parameters, source); }
  int64_t layer_bytes() const {
    return static_cast<int64_t>((2 * 2 * width * width + 2 * width) * inputs[0].element_size());
  }

  Random random;
  Program program;
  Parameters parameters;
  std::vector<at::Tensor> inputs;
  std::vector<ValueId> ends;  ///< per layer: its result
  std::shared_ptr<CountingSource> source;
};

std::vector<std::string> names_of_layer(int layer) {
  const std::string prefix = std::to_string(layer) + ".";
  return {prefix + "g", prefix + "w1", prefix + "w2", prefix + "b"};
}

class DeferredParameters : public testing::TestWithParam<at::ScalarType> {};

TEST_P(DeferredParameters, GiveTheTapeTheSameProducts) {
  Chain chain(GetParam());
  const std::vector<ValueId> entries = {0, chain.ends[1]};
  const Tape plain(chain.program, chain.parameters, chain.inputs, entries, chain.ends);
  const Tape streamed(chain.program, chain.deferred(), chain.inputs, entries, chain.ends);
  // The same operations on the same numbers give the same bits.
  EXPECT_TRUE(at::equal(streamed.losses(), plain.losses()));
  EXPECT_TRUE(at::equal(streamed.gradient(0), plain.gradient(0)));
  for (int repeat = 0; repeat < 2; ++repeat) {
    const std::vector<TapeVectors> vectors = {{chain.random.normal({2, 3, width}).to(GetParam()), {0, 1}},
                                              {chain.random.normal({1, 3, width}).to(GetParam()), {1}}};
    const auto expected = plain.apply(vectors);
    const auto products = streamed.apply(vectors);
    for (std::size_t entry = 0; entry < entries.size(); ++entry) {
      EXPECT_GT(expected[entry].abs().max().item<double>(), 1e-6);
      EXPECT_TRUE(at::equal(products[entry], expected[entry])) << "entry " << entry;
    }
  }
}

TEST_P(DeferredParameters, AreFetchedBySegmentForwardAndBackWithOneSegmentHeld) {
  Chain chain(GetParam());
  const Tape tape(chain.program, chain.deferred(), chain.inputs, {0}, chain.ends);
  const std::vector<std::string> head = {"head"};
  const auto b0 = names_of_layer(0);
  const auto b1 = names_of_layer(1);
  const auto b2 = names_of_layer(2);
  const auto b3 = names_of_layer(3);
  // Layers are read in the forward and again in the backward pass, the head between them once.
  EXPECT_THAT(chain.source->fetched, ElementsAre(b0, b1, b2, b3, head, b3, b2, b1, b0));
  EXPECT_THAT(chain.source->announced, ElementsAre(b1, b2, b3, head, b3, b2, b1, b0, IsEmpty()));
  chain.source->fetched.clear();
  chain.source->announced.clear();
  tape.apply({{at::ones_like(chain.inputs[0]), {0, 1}}});
  EXPECT_THAT(chain.source->fetched, ElementsAre(b0, b1, b2, b3, head, b3, b2, b1, b0));
  EXPECT_THAT(chain.source->announced, ElementsAre(b1, b2, b3, head, b3, b2, b1, b0, IsEmpty()));
  // The peak is one layer, or the head while a layer replaces it.
  EXPECT_GE(chain.source->max_bytes, chain.layer_bytes());
  EXPECT_LE(chain.source->max_bytes, chain.layer_bytes() + static_cast<int64_t>(chain.parameters.at("head").nbytes()));
}

TEST_P(DeferredParameters, AreFetchedByStepWhenAProgramIsEvaluated) {
  Chain chain(GetParam());
  const at::Tensor expected = evaluate(chain.program, chain.parameters, chain.inputs);
  EXPECT_TRUE(at::equal(evaluate(chain.program, chain.deferred(), chain.inputs), expected));
  const auto& fetched = chain.source->fetched;
  ASSERT_EQ(fetched.size(), 3U * layers + 1);
  EXPECT_THAT(fetched[0], ElementsAre("0.g"));
  EXPECT_THAT(fetched[1], ElementsAre("0.w1"));
  EXPECT_THAT(fetched[2], ElementsAre("0.w2", "0.b"));
  for (std::size_t i = 0; i + 1 < fetched.size(); ++i) {
    EXPECT_EQ(chain.source->announced[i], fetched[i + 1]) << i;
  }
  EXPECT_LE(chain.source->max_bytes, chain.layer_bytes() / 2);  // a linear map
}

INSTANTIATE_TEST_SUITE_P(Precisions, DeferredParameters, testing::Values(at::kFloat, at::kDouble),
                         [](const auto& test) { return std::string(c10::toString(test.param)); });

TEST(DeferredParameters, OfAnEmbeddingAreReadByRows) {
  Random random(2);
  Parameters parameters;
  parameters.add("table", random.normal({9, 4}));
  const auto source = std::make_shared<CountingSource>(parameters);
  Program program;
  program.n_inputs = 1;
  program.output = program.push(Embedding{"table"}, {0});
  const std::vector<at::Tensor> ids = {random.integers(0, 9, {2, 3})};
  EXPECT_TRUE(at::equal(evaluate(program, support::deferred(parameters, source), ids),
                        parameters.at("table").index_select(0, ids[0].flatten()).view({2, 3, 4})));
  EXPECT_THAT(source->rows_read, ElementsAre("table"));
  EXPECT_THAT(source->fetched, IsEmpty());
}

TEST(DeferredParameters, HaveOnlyAShapeUntilTheyAreFetched) {
  Parameters parameters;
  parameters.add("here", at::full({2}, 3.0));
  parameters.add("there", at::full({4, 5}, 7.0));
  const auto source = std::make_shared<CountingSource>(parameters);
  Parameters mixed;
  mixed.add_from(parameters, "here");
  mixed.add_deferred("there", at::empty({4, 5}, at::device(at::kMeta)), source);
  EXPECT_TRUE(mixed.is_deferred("there") && !mixed.is_deferred("here"));
  EXPECT_EQ(mixed.shape_of("there").sizes(), at::IntArrayRef({4, 5}));
  EXPECT_THROW(mixed.at("there"), std::logic_error);
  EXPECT_THROW(mixed.add_deferred("third", at::zeros({1}), source), std::invalid_argument);

  const Parameters fetched = mixed.fetched({"there", "here"});
  EXPECT_TRUE(at::equal(fetched.at("there"), parameters.at("there")));
  EXPECT_TRUE(fetched.at("here").is_same(parameters.at("here")));
  EXPECT_THAT(source->fetched, ElementsAre(std::vector<std::string>{"there"}));
  EXPECT_THROW(mixed.fetched({"nowhere"}), std::out_of_range);

  const Parameters wide = mixed.to(at::kCPU, at::kDouble);
  EXPECT_FALSE(wide.any_deferred());
  EXPECT_TRUE(at::equal(wide.at("there"), parameters.at("there").to(at::kDouble)));
}

}  // namespace
}  // namespace hessian::tests
