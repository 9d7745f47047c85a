#include "hessian/models/config.h"

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

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

constexpr const char* family_words =
    "gpt2, llama2, llama3, mistral, qwen2, qwen3, olmo2, pythia, gemma2, gemma3, phi3, smollm3";

TEST(ConfigJson, SurvivesTheRoundTripForEveryFamilyAndPlacement) {
  for (GptConfig config : support::all_tiny_configs()) {
    EXPECT_EQ(config_from_json(models::config_to_json(config)), config);
    config.norm_eps = 1.0 / 3e5;  // a number with no short decimal form
    config.rope_theta = 12345.678;
    config.head_dim = 6;  // not dim / n_heads
    EXPECT_EQ(config_from_json(models::config_to_json(config)), config);
  }
}

/// A change of one field, with the name of its key.
struct Change {
  const char* key;
  std::function<void(GptConfig&)> apply;
};

/// Returns a change of every field that has a default, each to a value that differs from it in a tiny llama2.
std::vector<Change> changes() {
  return {
      {"norm", [](GptConfig& c) { c.placement = Placement::reordered; }},
      {"n_kv_heads", [](GptConfig& c) { c.n_kv_heads = 2; }},
      {"head_dim", [](GptConfig& c) { c.head_dim = 6; }},
      {"ffn_hidden_dim", [](GptConfig& c) { c.ffn_hidden_dim = 13; }},
      {"norm_eps", [](GptConfig& c) { c.norm_eps = 1e-3; }},
      {"tied_head", [](GptConfig& c) { c.tied_head = true; }},
      {"activation", [](GptConfig& c) { c.activation = models::Activation::gelu_gate; }},
      {"qkv_bias", [](GptConfig& c) { c.qkv_bias = true; }},
      {"out_bias", [](GptConfig& c) { c.out_bias = true; }},
      {"ffn_bias", [](GptConfig& c) { c.ffn_bias = true; }},
      {"gain_offset", [](GptConfig& c) { c.gain_offset = 1; }},
      {"parallel", [](GptConfig& c) { c.parallel = true; }},
      {"qk_norm", [](GptConfig& c) { c.qk_norm = models::QkNorm::head; }},
      {"rope_theta", [](GptConfig& c) { c.rope_theta = 3e4; }},
      {"rotated_dim", [](GptConfig& c) { c.rotated_dim = 2; }},
      {"local_rope_theta", [](GptConfig& c) { c.local_rope_theta = 5e3; }},
      {"rope_pattern", [](GptConfig& c) { c.rope_pattern = "rrn"; }},
      {"window", [](GptConfig& c) { c.window = 7; }},
      {"window_pattern", [](GptConfig& c) { c.window_pattern = "fw"; }},
      {"query_scalar", [](GptConfig& c) { c.query_scalar = 2.5; }},
      {"attention_cap", [](GptConfig& c) { c.attention_cap = 50; }},
      {"logit_cap", [](GptConfig& c) { c.logit_cap = 30; }},
      {"scaled_embedding", [](GptConfig& c) { c.scaled_embedding = true; }},
  };
}

/// Returns a change of every field of the scaling of RoPE.
std::vector<Change> scaling_changes() {
  using models::RopeScaling;
  using models::RopeType;
  const auto scaled = [](const std::function<void(RopeScaling&)>& apply) {
    return [apply](GptConfig& config) {
      config.rope_scaling.type = RopeType::yarn;
      apply(config.rope_scaling);
    };
  };
  std::vector<Change> all = {
      {"factor", scaled([](RopeScaling& r) { r.factor = 2.5; })},
      {"original_max_seq_len", scaled([](RopeScaling& r) { r.original_max_seq_len = 9; })},
      {"attention_factor", scaled([](RopeScaling& r) { r.attention_factor = 1.25; })},
      {"low_freq_factor", scaled([](RopeScaling& r) { r.low_freq_factor = 1.5; })},
      {"high_freq_factor", scaled([](RopeScaling& r) { r.high_freq_factor = 5; })},
      {"beta_fast", scaled([](RopeScaling& r) { r.beta_fast = 16; })},
      {"beta_slow", scaled([](RopeScaling& r) { r.beta_slow = 2; })},
      {"truncate", scaled([](RopeScaling& r) { r.truncate = false; })},
      {"mscale", scaled([](RopeScaling& r) { r.mscale = 0.7; })},
      {"mscale_all_dim", scaled([](RopeScaling& r) { r.mscale_all_dim = 0.6; })},
      {"short_factors", scaled([](RopeScaling& r) { r.short_factors = {1.5}; })},
      {"long_factors", scaled([](RopeScaling& r) { r.long_factors = {2.5, 3}; })},
  };
  for (const RopeType type : {RopeType::linear, RopeType::llama3, RopeType::yarn}) {
    all.push_back({"type", [type](GptConfig& c) { c.rope_scaling.type = type; }});
  }
  return all;
}

TEST(ConfigJson, KeepsAChangeOfAnyOneField) {
  const GptConfig original = support::tiny_config(Family::llama2, Placement::prenorm);
  const json before = json::parse(models::config_to_json(original));
  std::set<std::string> keys = {"family", "dim", "n_layers", "n_heads", "vocab_size", "max_seq_len"};  // are required
  keys.insert({"norm_bias", "rope_scaling"});  // below, since llama2 has no norm_bias
  for (const Change& change : changes()) {
    GptConfig changed = original;
    change.apply(changed);
    const json after = json::parse(models::config_to_json(changed));
    EXPECT_NE(after.at(change.key), before.at(change.key)) << change.key;
    EXPECT_EQ(read(after), changed) << change.key;
    EXPECT_NE(read(after), original) << change.key;
    EXPECT_TRUE(keys.insert(change.key).second) << change.key << " is there twice";
  }
  for (const auto& [key, value] : before.items()) {
    EXPECT_TRUE(keys.contains(key)) << key << " has no change above";
  }
  EXPECT_EQ(keys.size(), before.size());
  GptConfig gpt2 = support::tiny_config(Family::gpt2, Placement::prenorm);
  gpt2.norm_bias = false;
  EXPECT_EQ(config_from_json(models::config_to_json(gpt2)), gpt2);
}

TEST(ConfigJson, KeepsAChangeOfAnyOneFieldOfTheScalingOfRope) {
  GptConfig original = support::tiny_config(Family::llama2, Placement::prenorm);
  original.rope_scaling.type = models::RopeType::yarn;
  const json written = json::parse(models::config_to_json(original)).at("rope_scaling");
  std::set<std::string> keys;
  for (const Change& change : scaling_changes()) {
    GptConfig changed = support::tiny_config(Family::llama2, Placement::prenorm);
    change.apply(changed);
    EXPECT_EQ(config_from_json(models::config_to_json(changed)), changed) << change.key;
    keys.insert(change.key);
  }
  for (const auto& [key, value] : written.items()) {
    EXPECT_TRUE(keys.contains(key)) << key << " has no change above";
  }
  EXPECT_EQ(keys.size(), written.size());
  // A configuration with a type alone has the defaults of the others.
  json object = json::parse(models::config_to_json(original));
  object["rope_scaling"] = {{"type", "yarn"}};
  EXPECT_EQ(read(object), original);
}

TEST(ConfigJson, LeavesAbsentKeysAtTheirFamilysValues) {
  for (const Family family : support::all_families()) {
    json object = official();
    object["family"] = models::to_string(family);
    for (const char* key : {"norm_eps", "rope_theta", "n_kv_heads"}) {
      object.erase(key);
    }
    GptConfig expected = models::family_defaults(family);
    expected.placement = Placement::simplegpt;
    expected.dim = 4096;
    expected.n_layers = 32;
    expected.n_heads = expected.n_kv_heads = 32;
    expected.head_dim = 128;
    expected.vocab_size = 128256;
    expected.max_seq_len = 2048;
    expected.ffn_hidden_dim = is_gated(expected.activation) ? 14336 : 4 * 4096;
    EXPECT_EQ(read(object), expected);
  }
}

TEST(ConfigJson, ReadsOneKeyForAllBiasesAsEarlierVersionsWroteIt) {
  json object = official();
  object["family"] = "gpt2";
  object["bias"] = true;
  const GptConfig with = read(object);
  EXPECT_TRUE(with.qkv_bias && with.out_bias && with.ffn_bias && with.norm_bias);
  object["bias"] = false;
  object["out_bias"] = true;
  const GptConfig one = read(object);
  EXPECT_TRUE(one.out_bias && !one.qkv_bias && !one.ffn_bias && !one.norm_bias);
}

TEST(ConfigJson, ReadsTheOfficialForm) {
  const GptConfig config = read(official());
  EXPECT_EQ(config.family, Family::llama3);
  EXPECT_EQ(config.placement, Placement::simplegpt);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.ffn_hidden_dim, 14336);
  EXPECT_EQ(config.n_kv_heads, 8);
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_FALSE(config.qkv_bias || config.out_bias || config.ffn_bias || config.norm_bias || config.tied_head);
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
  const std::string families = std::string(" is no model family; known are ") + family_words;
  EXPECT_EQ(refusal_of("family", "llama4"), "'llama4'" + families);
  EXPECT_EQ(refusal_of("norm", "none"),
            "'none' is no norm placement; known are prenorm, preqknorm, simplegpt, postnorm, sandwich, reordered");
  EXPECT_EQ(refusal_of("activation", "relu"),
            "'relu' is no activation; known are silu_gate, gelu, gelu_tanh, gelu_gate, gelu_tanh_gate");
  EXPECT_EQ(refusal_of("qk_norm", "both"), "'both' is no norm of queries and keys; known are none, width, head");
  EXPECT_EQ(refusal_of("rope_scaling", {{"type", "ntk"}}),
            "'ntk' is no type of RoPE; known are default, linear, dynamic, llama3, yarn, longrope");
  EXPECT_EQ(refusal_of("family", "two\nlines"), "'two?lines'" + families);
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
  EXPECT_EQ(refusal_of("norm_bias", true), "norm_bias is true, but llama3 has RMSNorms, which have no bias");
  EXPECT_EQ(refusal_of("rotated_dim", 3), "rotated_dim is 3, expected an even number up to head_dim 128");
  EXPECT_EQ(refusal_of("rotated_dim", 130), "rotated_dim is 130, expected an even number up to head_dim 128");
  EXPECT_EQ(refusal_of("rope_pattern", "rx"), "rope_pattern is 'rx', expected the letters r and n");
  EXPECT_EQ(refusal_of("window_pattern", "W"), "window_pattern is 'W', expected the letters w and f");
  EXPECT_EQ(refusal_of("window", -1), "window is -1, expected 0 or more");
  for (const char* key : {"attention_cap", "logit_cap", "query_scalar"}) {
    EXPECT_NE(refusal_of(key, -1.0).find(std::string(key) + " -1"), std::string::npos) << refusal_of(key, -1.0);
  }
  EXPECT_NE(refusal_of("norm_eps", -1e-5), "");
  EXPECT_NE(refusal_of("rope_theta", 0), "");
  EXPECT_NE(refusal_of("ffn_hidden_dim", -1), "");
}

TEST(ConfigJson, RefusesPlacementsThatHaveNoMeaningInAFamily) {
  const auto refusal_with = [](const char* family, const char* placement) {
    return refusal([&](json& object) {
      object["family"] = family;
      object["norm"] = placement;
    });
  };
  for (const char* family : {"qwen3", "olmo2", "gemma3"}) {
    EXPECT_EQ(refusal_with(family, "preqknorm"), std::string("preqknorm would normalise q and k of ") + family +
                                                     " twice: its own norms do so already");
  }
  EXPECT_EQ(refusal_with("pythia", "postnorm"),
            "postnorm needs attention and feed-forward one after the other, but pythia computes them in parallel");
  // All others are accepted.
  EXPECT_EQ(support::all_tiny_configs().size(),
            support::all_families().size() * support::all_placements().size() - 4);
}

TEST(ConfigJson, RefusesScalingsOfRopeWithoutTheNumbersTheyNeed) {
  EXPECT_EQ(refusal_of("rope_scaling", 3), "configuration key 'rope_scaling' is 3, expected an object");
  EXPECT_EQ(refusal_of("rope_scaling", json::object()), "configuration key 'type' is missing");
  EXPECT_EQ(refusal_of("rope_scaling", {{"type", "linear"}, {"factor", 0}}),
            "factor of RoPE's scaling is 0, expected a positive number");
  EXPECT_EQ(refusal_of("rope_scaling", {{"type", "longrope"}, {"short_factors", {1, 2}}}),
            "short_factors of RoPE's scaling has 2 numbers, expected 64, one per rotated pair");
  EXPECT_EQ(refusal_of("rope_scaling", {{"type", "longrope"}, {"short_factors", "x"}}),
            R"(configuration key 'short_factors' is "x", expected a list of numbers)");
  EXPECT_EQ(refusal_of("rope_scaling", {{"type", "llama3"}, {"low_freq_factor", 4}}),
            "high_freq_factor 4 of RoPE's scaling must exceed low_freq_factor 4");
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
  using models::Activation;
  for (const auto activation : {Activation::silu_gate, Activation::gelu, Activation::gelu_tanh, Activation::gelu_gate,
                                Activation::gelu_tanh_gate}) {
    EXPECT_EQ(models::parse_activation(models::to_string(activation)), activation);
  }
  for (const auto norm : {models::QkNorm::none, models::QkNorm::width, models::QkNorm::head}) {
    EXPECT_EQ(models::parse_qk_norm(models::to_string(norm)), norm);
  }
  using models::RopeType;
  for (const auto type : {RopeType::plain, RopeType::linear, RopeType::dynamic, RopeType::llama3, RopeType::yarn,
                          RopeType::longrope}) {
    EXPECT_EQ(models::parse_rope_type(models::to_string(type)), type);
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
