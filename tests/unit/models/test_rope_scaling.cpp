#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <vector>

#include "gpt/rope.h"
#include "huggingface_support.h"
#include "program/rope_table.h"

// Compares the rotations of models whose config.json scales RoPE with the formulas of the papers and of transformers'
// modeling_rope_utils.py, written here pair by pair.

namespace hessian::tests {
namespace {

using nlohmann::json;
using support::read_huggingface;
using support::with_keys;

constexpr int64_t head_dim = 32;
constexpr int64_t pairs = head_dim / 2;
constexpr double theta = 5000.0;
constexpr int64_t max_seq_len = 640;

/// Returns the configuration of a Llama with this object as its rope_parameters.
models::GptConfig llama_with(json rope) {
  rope["rope_theta"] = theta;
  return read_huggingface(with_keys(support::huggingface_sizes("LlamaForCausalLM", 2, 4),
                                    {{"rope_parameters", rope}, {"max_position_embeddings", max_seq_len}}));
}

double plain_frequency(int64_t pair, double base = theta) {
  return std::pow(base, -2.0 * static_cast<double>(pair) / static_cast<double>(head_dim));
}

/// Returns frequency(pair) for every pair.
template <class Frequency>
std::vector<double> frequencies(const Frequency& frequency) {
  std::vector<double> result;
  for (int64_t pair = 0; pair < pairs; ++pair) {
    result.push_back(frequency(pair));
  }
  return result;
}

/// Expects cosines and sines of position times frequency, multiplied by `scale`, in sequences of this length.
void expect_rotation(const models::GptConfig& config, int64_t positions, const std::vector<double>& expected,
                     double scale = 1.0, int64_t layer = 0) {
  const at::Tensor table = rope_table(models::rope_of(config, layer), positions, at::dtype(at::kDouble));
  const at::Tensor angles = at::outer(at::arange(positions, at::kDouble), at::tensor(expected, at::kDouble));
  // The angles are up to 1e3, with a relative error of 1e-16 each.
  EXPECT_LT((table.select(1, 0) - angles.cos() * scale).abs().max().item<double>(), 1e-11);
  EXPECT_LT((table.select(1, 1) - angles.sin() * scale).abs().max().item<double>(), 1e-11);
}

TEST(RopeScaling, PlainHasThePowersOfTheBase) {
  expect_rotation(llama_with({{"rope_type", "default"}}), 50,
                  frequencies([](int64_t j) { return plain_frequency(j); }));
}

TEST(RopeScaling, LinearDividesEveryFrequency) {
  expect_rotation(llama_with({{"rope_type", "linear"}, {"factor", 2.5}}), 50,
                  frequencies([](int64_t j) { return plain_frequency(j) / 2.5; }));
}

TEST(RopeScaling, Llama3DividesLongWavesKeepsShortOnesAndInterpolates) {
  constexpr double factor = 8;
  constexpr double low = 1.5;
  constexpr double high = 4;
  constexpr double length = 96;
  int kept = 0;
  int divided = 0;
  const auto expected = frequencies([&](int64_t j) {
    const double frequency = plain_frequency(j);
    const double wavelength = 2 * std::numbers::pi / frequency;
    if (wavelength < length / high) {
      ++kept;
      return frequency;
    }
    if (wavelength > length / low) {
      ++divided;
      return frequency / factor;
    }
    const double share = (length / wavelength - low) / (high - low);
    return (1 - share) * frequency / factor + share * frequency;
  });
  EXPECT_GT(kept, 0);
  EXPECT_GT(divided, 0);
  EXPECT_LT(kept + divided, pairs);
  expect_rotation(llama_with({{"rope_type", "llama3"},
                              {"factor", factor},
                              {"low_freq_factor", low},
                              {"high_freq_factor", high},
                              {"original_max_position_embeddings", 96}}),
                  50, expected);
}

TEST(RopeScaling, DynamicChangesTheBaseOfSequencesBeyondTheLimit) {
  constexpr double factor = 3;
  const auto config = llama_with({{"rope_type", "dynamic"}, {"factor", factor}});
  for (const int64_t positions : {int64_t{50}, max_seq_len}) {
    expect_rotation(config, positions, frequencies([](int64_t j) { return plain_frequency(j); }));
  }
  for (const int64_t positions : {max_seq_len + 1, 2 * max_seq_len}) {
    const double growth = factor * static_cast<double>(positions) / static_cast<double>(max_seq_len) - (factor - 1);
    const double base = theta * std::pow(growth, static_cast<double>(head_dim) / static_cast<double>(head_dim - 2));
    expect_rotation(config, positions, frequencies([&](int64_t j) { return plain_frequency(j, base); }));
  }
}

/// The numbers of a YaRN.
struct Yarn {
  double factor = 4;
  double length = 160;
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;
};

std::vector<double> yarn_frequencies(const Yarn& yarn) {
  const auto pair_with_turns = [&](double turns) {
    return static_cast<double>(head_dim) * std::log(yarn.length / (turns * 2 * std::numbers::pi)) /
           (2 * std::log(theta));
  };
  double first = pair_with_turns(yarn.beta_fast);
  double last = pair_with_turns(yarn.beta_slow);
  if (yarn.truncate) {
    first = std::floor(first);
    last = std::ceil(last);
  }
  first = std::max(first, 0.0);
  last = std::min(last, static_cast<double>(head_dim - 1));
  return frequencies([=](int64_t j) {
    const double ramp = std::min(std::max((static_cast<double>(j) - first) / (last - first), 0.0), 1.0);
    return plain_frequency(j) * (1 - ramp) + plain_frequency(j) / yarn.factor * ramp;
  });
}

json yarn_object(const json& more) {
  return with_keys({{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 160}}, more);
}

TEST(RopeScaling, YarnRampsFromKeptToDividedFrequencies) {
  const double usual_scale = 0.1 * std::log(4.0) + 1;
  expect_rotation(llama_with(yarn_object(json::object())), 50, yarn_frequencies({}), usual_scale);
  expect_rotation(llama_with(yarn_object({{"truncate", false}})), 50, yarn_frequencies({.truncate = false}),
                  usual_scale);
  expect_rotation(llama_with(yarn_object({{"beta_fast", 12}, {"beta_slow", 2}})), 50,
                  yarn_frequencies({.beta_fast = 12, .beta_slow = 2}), usual_scale);
  EXPECT_NE(yarn_frequencies({}), yarn_frequencies({.truncate = false}));
}

TEST(RopeScaling, YarnScalesByItsAttentionFactorOrByAQuotientOfTwo) {
  expect_rotation(llama_with(yarn_object({{"attention_factor", 1.25}})), 50, yarn_frequencies({}), 1.25);
  const double quotient = (0.1 * 0.7 * std::log(4.0) + 1) / (0.1 * 1.3 * std::log(4.0) + 1);
  expect_rotation(llama_with(yarn_object({{"mscale", 0.7}, {"mscale_all_dim", 1.3}})), 50, yarn_frequencies({}),
                  quotient);
  // transformers ignores one of the two alone, and zeros.
  const double usual_scale = 0.1 * std::log(4.0) + 1;
  expect_rotation(llama_with(yarn_object({{"mscale", 0.7}})), 50, yarn_frequencies({}), usual_scale);
  expect_rotation(llama_with(yarn_object({{"mscale", 0.7}, {"mscale_all_dim", 0}})), 50, yarn_frequencies({}),
                  usual_scale);
}

TEST(RopeScaling, YarnTakesItsFactorFromTheLengthsIfItIsAbsent) {
  for (const json& factor : {json(), json(4)}) {
    json object = yarn_object(json::object());
    object["factor"] = factor;
    expect_rotation(llama_with(object), 50, yarn_frequencies({}), 0.1 * std::log(4.0) + 1);
  }
  // Without an original length either, nothing is extended.
  const auto config = llama_with({{"rope_type", "yarn"}});
  expect_rotation(config, 50, frequencies([](int64_t j) { return plain_frequency(j); }));
}

TEST(RopeScaling, LongropeHasOtherDivisorsBeyondTheOriginalLength) {
  const auto short_factor = frequencies([](int64_t j) { return 1 + 0.03 * static_cast<double>(j); });
  const auto long_factor = frequencies([](int64_t j) { return 2 + 0.5 * static_cast<double>(j); });
  json object = {{"rope_type", "longrope"},
                 {"short_factor", short_factor},
                 {"long_factor", long_factor},
                 {"original_max_position_embeddings", 80}};
  const auto divided = [](const std::vector<double>& divisors) {
    return frequencies([&](int64_t j) { return plain_frequency(j) / divisors[static_cast<std::size_t>(j)]; });
  };
  const double growth = static_cast<double>(max_seq_len) / 80;
  const double scale = std::sqrt(1 + std::log(growth) / std::log(80.0));
  const auto config = llama_with(object);
  expect_rotation(config, 79, divided(short_factor), scale);
  expect_rotation(config, 80, divided(short_factor), scale);
  expect_rotation(config, 81, divided(long_factor), scale);
  object["factor"] = 3;
  expect_rotation(llama_with(object), 20, divided(short_factor), std::sqrt(1 + std::log(3.0) / std::log(80.0)));
  object["attention_factor"] = 1.5;
  expect_rotation(llama_with(object), 20, divided(short_factor), 1.5);
}

TEST(RopeScaling, RotatesTheFirstEntriesOfAHeadIfItIsPartial) {
  const auto config = read_huggingface(with_keys(support::huggingface_sizes("GPTNeoXForCausalLM", 2, 4),
                                                 {{"rope_parameters", {{"partial_rotary_factor", 0.5}}}}));
  EXPECT_EQ(config.rotated_dim, 16);
  expect_rotation(config, 50, frequencies([](int64_t j) {
                    return j < 8 ? std::pow(10000.0, -2.0 * static_cast<double>(j) / 16) : 0.0;
                  }));
}

TEST(RopeScaling, LeavesTheLayersOfGemma3WithAWindowAsTheyAre) {
  const auto config = read_huggingface(with_keys(support::huggingface_sizes("Gemma3ForCausalLM", 6, 4),
                                                 {{"head_dim", head_dim},
                                                  {"rope_theta", theta},
                                                  {"rope_local_base_freq", 300.0},
                                                  {"rope_scaling", {{"rope_type", "linear"}, {"factor", 8}}}}));
  for (int64_t layer = 0; layer < 5; ++layer) {
    expect_rotation(config, 50, frequencies([](int64_t j) { return plain_frequency(j, 300.0); }), 1.0, layer);
  }
  expect_rotation(config, 50, frequencies([](int64_t j) { return plain_frequency(j) / 8; }), 1.0, 5);
}

}  // namespace
}  // namespace hessian::tests
