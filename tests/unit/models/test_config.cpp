#include "hessian/models/config.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "refusal.h"
#include "tiny_models.h"

using hessian::models::config_from_json;
using hessian::models::Family;
using hessian::models::GptConfig;
using hessian::models::Placement;
using nlohmann::json;

namespace hessian::tests {
namespace {

/// Returns a configuration in the official form, the model arguments of the SimpleGPT code.
json official() {
  return json::parse(R"({"family": "llama3", "norm": "simplegpt", "dim": 4096, "n_layers": 32, "n_heads": 32,
    "n_kv_heads": 8, "vocab_size": 128256, "multiple_of": 1024, "ffn_dim_multiplier": 1.3, "norm_eps": 1e-5,
    "rope_theta": 500000, "max_seq_len": 2048})");
}

GptConfig read(const json& object) {
  return config_from_json(object.dump());
}

/// Returns the refusal of the official form after a change.
template <class Change>
std::string refusal(const Change& change) {
  json object = official();
  change(object);
  return support::refusal_of([&] { read(object); });
}

std::string refusal_of(const char* key, const json& value) {
  return refusal([&](json& object) { object[key] = value; });
}

TEST(ConfigJson, SurvivesTheRoundTripForEveryFamilyAndPlacement) {
  for (const Family family : support::all_families()) {
    for (const Placement placement : support::all_placements()) {
      GptConfig config = support::tiny_config(family, placement);
      config.norm_eps = 1.0 / 3e5;  // a number with no short decimal form
      config.rope_theta = 12345.678;
      config.head_dim = 6;  // not dim / n_heads
      EXPECT_TRUE(config_from_json(models::config_to_json(config)) == config) << support::name_of(config);
    }
  }
}

TEST(ConfigJson, DistinguishesConfigurationsThatDifferInOneField) {
  const GptConfig original = support::tiny_config(Family::gpt2, Placement::prenorm);
  GptConfig changed = original;
  changed.tied_head = false;
  EXPECT_FALSE(config_from_json(models::config_to_json(changed)) == original);
  changed = original;
  changed.activation = models::Activation::gelu_tanh;
  EXPECT_TRUE(config_from_json(models::config_to_json(changed)) == changed);
}

TEST(ConfigJson, ReadsTheOfficialForm) {
  const GptConfig config = read(official());
  EXPECT_EQ(config.family, Family::llama3);
  EXPECT_EQ(config.placement, Placement::simplegpt);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.ffn_hidden_dim, 14336);
  EXPECT_EQ(config.n_kv_heads, 8);
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_FALSE(config.bias || config.tied_head);
  EXPECT_EQ(config.activation, models::Activation::silu_gate);
}

TEST(ConfigJson, TakesNullAndAbsentKeysForTheirDefaults) {
  json object = official();
  for (const char* key : {"n_kv_heads", "ffn_dim_multiplier", "norm_eps", "rope_theta"}) {
    object[key] = nullptr;
  }
  const GptConfig with_null = read(object);
  EXPECT_EQ(with_null.n_kv_heads, 32);
  EXPECT_EQ(with_null.ffn_hidden_dim, 11264);  // 10922 rounded up to a multiple of 1024
  EXPECT_EQ(with_null.norm_eps, 1e-5);
  EXPECT_EQ(with_null.rope_theta, 500000.0);
  for (const char* key : {"n_kv_heads", "ffn_dim_multiplier", "norm_eps", "rope_theta"}) {
    object.erase(key);
  }
  EXPECT_TRUE(read(object) == with_null);
  object["family"] = "llama2";
  EXPECT_EQ(read(object).rope_theta, 10000.0);
  object["family"] = "gpt2";
  const GptConfig gpt2 = read(object);
  EXPECT_EQ(gpt2.ffn_hidden_dim, 4 * 4096);
  EXPECT_TRUE(gpt2.tied_head);
  EXPECT_EQ(gpt2.activation, models::Activation::gelu);
}

TEST(ConfigJson, NamesTheKeyThatIsMissing) {
  for (const std::string key : {"family", "norm", "dim", "n_layers", "n_heads", "vocab_size", "max_seq_len"}) {
    const std::string wanted = "configuration key '" + key + "' is missing";
    EXPECT_EQ(refusal([&](json& object) { object.erase(key); }), wanted);
    EXPECT_EQ(refusal_of(key.c_str(), nullptr), wanted);
  }
}

TEST(ConfigJson, NamesTheKeyOfTheWrongType) {
  EXPECT_EQ(refusal_of("dim", "4096"), R"(configuration key 'dim' is "4096", expected an integer)");
  EXPECT_EQ(refusal_of("dim", 4096.5), "configuration key 'dim' is 4096.5, expected an integer");
  EXPECT_EQ(refusal_of("n_layers", true), "configuration key 'n_layers' is true, expected an integer");
  EXPECT_EQ(refusal_of("norm_eps", "small"), R"(configuration key 'norm_eps' is "small", expected a number)");
  EXPECT_EQ(refusal_of("rope_theta", json::array({1, 2})),
            "configuration key 'rope_theta' is [1,2], expected a number");
  EXPECT_EQ(refusal_of("bias", 1), "configuration key 'bias' is 1, expected true or false");
  EXPECT_EQ(refusal_of("family", 3), "configuration key 'family' is 3, expected a word");
  EXPECT_LT(refusal_of("dim", json::array_t(5000, 7)).size(), 250U) << "a long value is cut";
}

TEST(ConfigJson, RefusesWordsItDoesNotKnowAndNamesThoseAccepted) {
  EXPECT_EQ(refusal_of("family", "llama4"), "'llama4' is no model family; known are gpt2, llama2, llama3");
  EXPECT_EQ(refusal_of("norm", "none"),
            "'none' is no norm placement; known are prenorm, preqknorm, simplegpt, postnorm, sandwich");
  EXPECT_EQ(refusal_of("activation", "relu"), "'relu' is no activation; known are silu_gate, gelu, gelu_tanh");
  EXPECT_EQ(refusal_of("family", "two\nlines"), "'two?lines' is no model family; known are gpt2, llama2, llama3");
}

TEST(ConfigJson, RefusesValuesOutOfRange) {
  EXPECT_EQ(refusal_of("n_layers", 0), "n_layers is 0, expected 1 to 1073741824");
  EXPECT_EQ(refusal_of("vocab_size", -5), "vocab_size is -5, expected 1 to 1073741824");
  EXPECT_EQ(refusal_of("max_seq_len", int64_t{1} << 40), "max_seq_len is 1099511627776, expected 1 to 1073741824");
  EXPECT_EQ(refusal_of("n_layers", 100000), "n_layers is 100000, expected 10000 at most");
  EXPECT_EQ(refusal_of("n_heads", 3), "n_heads 3 does not divide dim 4096");
  EXPECT_EQ(refusal_of("n_heads", 0), "n_heads 0 does not divide dim 4096");
  EXPECT_EQ(refusal_of("n_kv_heads", 5), "n_kv_heads 5 does not divide n_heads 32");
  EXPECT_EQ(refusal_of("head_dim", 7), "head_dim is 7, RoPE needs an even one");
  EXPECT_EQ(refusal_of("bias", true), "bias is true, which llama3 does not have");
  EXPECT_NE(refusal_of("norm_eps", -1e-5), "");
  EXPECT_NE(refusal_of("rope_theta", 0), "");
  EXPECT_NE(refusal_of("ffn_hidden_dim", -1), "");
}

TEST(ConfigJson, RefusesNumbersNearTheEndOfTheirTypeInsteadOfOverflowing) {
  for (const int64_t huge : {std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}) {
    for (const char* key : {"dim", "n_layers", "n_heads", "n_kv_heads", "head_dim", "ffn_hidden_dim", "vocab_size",
                            "max_seq_len", "multiple_of"}) {
      for (const char* family : {"llama3", "gpt2"}) {
        EXPECT_NE(refusal([&](json& object) {
                    object["family"] = family;
                    object[key] = huge;
                  }),
                  "")
            << key << " " << huge << " in " << family;
      }
    }
  }
  EXPECT_NE(refusal_of("dim", std::numeric_limits<uint64_t>::max()), "");
  EXPECT_NE(refusal_of("ffn_dim_multiplier", 1e300), "");
}

TEST(ConfigJson, RefusesTextThatIsNotAJsonObject) {
  for (const char* text : {"", "[]", "3", "{", "{\"dim\": }", "null", "\"family\"", "{\"dim\": 1e999}"}) {
    EXPECT_EQ(support::refusal_of([&] { config_from_json(text); }), "the configuration is not a JSON object") << text;
  }
}

TEST(Words, SurviveTheRoundTrip) {
  for (const Family family : support::all_families()) {
    EXPECT_EQ(models::parse_family(models::to_string(family)), family);
  }
  for (const Placement placement : support::all_placements()) {
    EXPECT_EQ(models::parse_placement(models::to_string(placement)), placement);
  }
  for (const auto activation :
       {models::Activation::silu_gate, models::Activation::gelu, models::Activation::gelu_tanh}) {
    EXPECT_EQ(models::parse_activation(models::to_string(activation)), activation);
  }
}

// Widths of the official table.
TEST(SwigluHiddenDim, TruncatesTwiceAndRoundsUp) {
  EXPECT_EQ(models::swiglu_hidden_dim(4096, std::nullopt, 256), 11008);
  EXPECT_EQ(models::swiglu_hidden_dim(4096, 1.3, 1024), 14336);
  EXPECT_EQ(models::swiglu_hidden_dim(8192, 1.3, 4096), 28672);
  EXPECT_EQ(models::swiglu_hidden_dim(2048, std::nullopt, 256), 5632);
  EXPECT_EQ(models::swiglu_hidden_dim(384, std::nullopt, 256), 1024);
  EXPECT_EQ(models::swiglu_hidden_dim(4096, 1.3, 1), 14198);
}

}  // namespace
}  // namespace hessian::tests
