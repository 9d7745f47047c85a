#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "checkpoints/huggingface_config.h"
#include "hessian/models/config.h"
#include "loader_support.h"

// Leaves out each optional key of a model's configuration, and compares the result with the default that the origin of the
// format documents.

namespace hessian::tests {
namespace {

using models::Activation;
using models::GptConfig;
using nlohmann::json;

/// A key that a configuration may lack, or that may be null.
struct OptionalKey {
  const char* key;
  json other;                                    ///< a value that differs from the default
  std::function<void(GptConfig&)> with_default;  ///< sets what the configuration means without the key
};

using Read = std::function<GptConfig(const json&)>;

/// Checks configurations in which one key is absent, one is null, or all are absent. `with_all` is the meaning of the
/// configuration that has the other value of every key.
void expect_defaults(const json& required, GptConfig with_all, const std::vector<OptionalKey>& keys, const Read& read) {
  json complete = required;
  for (const OptionalKey& optional : keys) {
    complete[optional.key] = optional.other;
  }
  const auto text_of = [](const GptConfig& config) { return models::config_to_json(config); };
  ASSERT_EQ(text_of(read(complete)), text_of(with_all));
  for (const OptionalKey& optional : keys) {
    GptConfig expected = with_all;
    optional.with_default(expected);
    EXPECT_NE(text_of(expected), text_of(with_all)) << optional.key << ": the test's other value is the default";
    json changed = complete;
    changed.erase(optional.key);
    EXPECT_EQ(text_of(read(changed)), text_of(expected)) << optional.key << " is absent";
    changed[optional.key] = nullptr;
    EXPECT_EQ(text_of(read(changed)), text_of(expected)) << optional.key << " is null";
  }
  for (const OptionalKey& optional : keys) {
    optional.with_default(with_all);
  }
  EXPECT_EQ(text_of(read(required)), text_of(with_all)) << "every optional key is absent";
}

GptConfig read_huggingface(const json& object) {
  const support::TemporaryFolder folder;
  return models::read_huggingface_config(folder.write("config.json", object.dump())).config;
}

const json required_by_llama = {{"architectures", {"LlamaForCausalLM"}},
                                {"hidden_size", 32},
                                {"num_hidden_layers", 2},
                                {"num_attention_heads", 4},
                                {"intermediate_size", 80},
                                {"vocab_size", 100}};

const json required_by_gpt2 = {
    {"architectures", {"GPT2LMHeadModel"}}, {"n_embd", 40}, {"n_layer", 2}, {"n_head", 4}, {"vocab_size", 83}};

// Source: class LlamaConfig of transformers.
TEST(HuggingFaceDefaults, OfLlamaAreThoseOfTransformers) {
  GptConfig with_all;
  with_all.dim = 32;
  with_all.n_layers = 2;
  with_all.n_heads = 4;
  with_all.n_kv_heads = 2;
  with_all.head_dim = 10;
  with_all.ffn_hidden_dim = 80;
  with_all.vocab_size = 100;
  with_all.max_seq_len = 64;
  with_all.norm_eps = 1e-4;
  with_all.rope_theta = 20000;
  with_all.tied_head = true;
  expect_defaults(required_by_llama, with_all,
                  {{"num_key_value_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                   {"head_dim", 10, [](GptConfig& c) { c.head_dim = 8; }},
                   {"max_position_embeddings", 64, [](GptConfig& c) { c.max_seq_len = 2048; }},
                   {"rms_norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-6; }},
                   {"rope_theta", 20000, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"tie_word_embeddings", true, [](GptConfig& c) { c.tied_head = false; }}},
                  read_huggingface);
}

// Source: class GPT2Config of transformers. There the head is tied by default, unlike in Llama.
TEST(HuggingFaceDefaults, OfGpt2AreThoseOfTransformers) {
  GptConfig with_all;
  with_all.family = models::Family::gpt2;
  with_all.activation = Activation::gelu;
  with_all.dim = 40;
  with_all.n_layers = 2;
  with_all.n_heads = with_all.n_kv_heads = 4;
  with_all.head_dim = 10;
  with_all.ffn_hidden_dim = 50;
  with_all.vocab_size = 83;
  with_all.max_seq_len = 64;
  with_all.norm_eps = 1e-4;
  with_all.bias = true;
  with_all.tied_head = false;
  expect_defaults(required_by_gpt2, with_all,
                  {{"n_inner", 50, [](GptConfig& c) { c.ffn_hidden_dim = 160; }},
                   {"n_positions", 64, [](GptConfig& c) { c.max_seq_len = 1024; }},
                   {"layer_norm_epsilon", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"activation_function", "gelu", [](GptConfig& c) { c.activation = Activation::gelu_tanh; }},
                   {"tie_word_embeddings", false, [](GptConfig& c) { c.tied_head = true; }}},
                  read_huggingface);
}

TEST(HuggingFaceDefaults, TakeTheArchitectureFromTheTypeOfModelIfItIsNotNamed) {
  for (const auto& [required, type] : {std::pair(required_by_llama, "llama"), std::pair(required_by_gpt2, "gpt2")}) {
    json changed = required;
    changed.erase("architectures");
    changed["model_type"] = type;
    EXPECT_EQ(read_huggingface(changed), read_huggingface(required)) << type;
  }
}

TEST(HuggingFaceDefaults, TakeTheBaseOfRopeFromTheInnermostPlaceThatHasIt) {
  const auto base_with = [](const json& outer, const json& inner) {
    json object = required_by_llama;
    object["rope_theta"] = outer;
    object["rope_parameters"] = inner;
    return read_huggingface(object).rope_theta;
  };
  EXPECT_EQ(base_with(nullptr, {{"rope_type", "default"}}), 10000);
  EXPECT_EQ(base_with(20000, {{"rope_type", "default"}}), 20000);
  EXPECT_EQ(base_with(nullptr, {{"rope_theta", 30000}}), 30000);
  EXPECT_EQ(base_with(20000, {{"rope_theta", 30000}}), 30000);
}

json required_by_us(const char* family) {
  return {{"family", family}, {"norm", "prenorm"}, {"dim", 512},       {"n_layers", 2},
          {"n_heads", 4},     {"vocab_size", 100}, {"max_seq_len", 64}};
}

GptConfig read_ours(const json& object) {
  return models::config_from_json(object.dump());
}

/// Returns the configuration that required_by_us() has in common with the other value of every optional key.
GptConfig ours_with_all(models::Family family) {
  GptConfig config;
  config.family = family;
  config.dim = 512;
  config.n_layers = 2;
  config.n_heads = 4;
  config.n_kv_heads = 2;
  config.head_dim = 10;
  config.ffn_hidden_dim = 50;
  config.vocab_size = 100;
  config.max_seq_len = 64;
  config.norm_eps = 1e-4;
  config.rope_theta = 12345;
  return config;
}

// The keys and defaults of the official model arguments, and the families' own rope_theta, head and activation.
TEST(OurDefaults, OfBothLlamasAreThoseOfTheOfficialArguments) {
  for (const auto& [family, theta] :
       {std::pair(models::Family::llama2, 10000.0), std::pair(models::Family::llama3, 500000.0)}) {
    SCOPED_TRACE(models::to_string(family));
    GptConfig with_all = ours_with_all(family);
    with_all.tied_head = true;
    with_all.activation = Activation::gelu;
    expect_defaults(required_by_us(models::to_string(family)), with_all,
                    {{"n_kv_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                     {"head_dim", 10, [](GptConfig& c) { c.head_dim = 128; }},
                     // 2 (4 512) / 3 = 1365, rounded up to a multiple of 256.
                     {"ffn_hidden_dim", 50, [](GptConfig& c) { c.ffn_hidden_dim = 1536; }},
                     {"norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                     {"rope_theta", 12345, [theta = theta](GptConfig& c) { c.rope_theta = theta; }},
                     {"tied_head", true, [](GptConfig& c) { c.tied_head = false; }},
                     {"activation", "gelu", [](GptConfig& c) { c.activation = Activation::silu_gate; }}},
                    read_ours);
  }
}

TEST(OurDefaults, OfGpt2AreThoseOfNanoGpt) {
  GptConfig with_all = ours_with_all(models::Family::gpt2);
  with_all.bias = true;
  with_all.activation = Activation::gelu_tanh;
  expect_defaults(required_by_us("gpt2"), with_all,
                  {{"n_kv_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                   {"head_dim", 10, [](GptConfig& c) { c.head_dim = 128; }},
                   {"ffn_hidden_dim", 50, [](GptConfig& c) { c.ffn_hidden_dim = 2048; }},
                   {"norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"rope_theta", 12345, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"bias", true, [](GptConfig& c) { c.bias = false; }},
                   {"tied_head", false, [](GptConfig& c) { c.tied_head = true; }},
                   {"activation", "gelu_tanh", [](GptConfig& c) { c.activation = Activation::gelu; }}},
                  read_ours);
}

// Twice 1365 is 2730: 2752 as a multiple of 32, 2816 as one of 256.
TEST(OurDefaults, OfTheOfficialWidthOfTheFeedForwardLayer) {
  GptConfig with_all = read_ours(required_by_us("llama2"));
  with_all.ffn_hidden_dim = 2752;
  json required = required_by_us("llama2");
  required["ffn_dim_multiplier"] = 2.0;
  expect_defaults(required, with_all, {{"multiple_of", 32, [](GptConfig& c) { c.ffn_hidden_dim = 2816; }}}, read_ours);
  required = required_by_us("llama2");
  required["multiple_of"] = 32;
  expect_defaults(required, with_all, {{"ffn_dim_multiplier", 2.0, [](GptConfig& c) { c.ffn_hidden_dim = 1376; }}},
                  read_ours);
}

}  // namespace
}  // namespace hessian::tests
