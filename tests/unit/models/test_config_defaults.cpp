#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "hessian/models/config.h"
#include "huggingface_support.h"

// Leaves out each optional key of a model's configuration, and compares the result with the default that the origin of the
// format documents.

namespace hessian::tests {
namespace {

using models::Activation;
using models::GptConfig;
using nlohmann::json;
using support::huggingface_sizes;
using support::read_huggingface;

/// A key that a configuration may lack, or that may be null.
struct OptionalKey {
  const char* key;
  json other;                                                ///< a value that differs from the default
  std::function<void(GptConfig&)> with_default;              ///< sets what the configuration means without the key
  std::function<void(GptConfig&)> with_null = with_default;  ///< the same if the key is null
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
    expected = with_all;
    optional.with_null(expected);
    changed[optional.key] = nullptr;
    EXPECT_EQ(text_of(read(changed)), text_of(expected)) << optional.key << " is null";
  }
  for (const OptionalKey& optional : keys) {
    optional.with_default(with_all);
  }
  EXPECT_EQ(text_of(read(required)), text_of(with_all)) << "every optional key is absent";
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
  with_all.activation = Activation::gelu_gate;
  with_all.qkv_bias = with_all.out_bias = with_all.ffn_bias = true;
  with_all.window = 7;
  expect_defaults(required_by_llama, with_all,
                  {{"num_key_value_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                   {"head_dim", 10, [](GptConfig& c) { c.head_dim = 8; }},
                   {"max_position_embeddings", 64, [](GptConfig& c) { c.max_seq_len = 2048; }},
                   {"rms_norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-6; }},
                   {"rope_theta", 20000, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"tie_word_embeddings", true, [](GptConfig& c) { c.tied_head = false; }},
                   {"hidden_act", "gelu", [](GptConfig& c) { c.activation = Activation::silu_gate; }},
                   {"attention_bias", true, [](GptConfig& c) { c.qkv_bias = c.out_bias = false; }},
                   {"mlp_bias", true, [](GptConfig& c) { c.ffn_bias = false; }},
                   {"sliding_window", 7, [](GptConfig& c) { c.window = 0; }}},
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
  models::set_all_biases(with_all, true);
  with_all.tied_head = false;
  expect_defaults(required_by_gpt2, with_all,
                  {{"n_inner", 50, [](GptConfig& c) { c.ffn_hidden_dim = 160; }},
                   {"n_positions", 64, [](GptConfig& c) { c.max_seq_len = 1024; }},
                   {"layer_norm_epsilon", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"activation_function", "gelu", [](GptConfig& c) { c.activation = Activation::gelu_tanh; }},
                   {"tie_word_embeddings", false, [](GptConfig& c) { c.tied_head = true; }}},
                  read_huggingface);
}

/// Returns what huggingface_sizes() means with the other values of common_keys().
GptConfig sizes_of(models::Family family, int64_t n_layers, int64_t n_heads) {
  GptConfig config = models::family_defaults(family);
  config.dim = 128;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.n_kv_heads = 2;
  config.head_dim = 6;
  config.ffn_hidden_dim = 80;
  config.vocab_size = 100;
  config.max_seq_len = 64;
  config.norm_eps = 1e-4;
  config.rope_theta = 20000;
  return config;
}

/// What the keys that all relatives of Llama have mean if they are absent.
struct CommonDefaults {
  int64_t n_heads = 0;     ///< also of keys and values if their key is null
  int64_t n_kv_heads = 0;  ///< if the key is absent
  int64_t head_dim = 0;
  int64_t max_seq_len = 0;
  double norm_eps = 1e-6;
  double rope_theta = 10000;
};

std::vector<OptionalKey> common_keys(const CommonDefaults& defaults, const std::vector<OptionalKey>& more) {
  std::vector<OptionalKey> keys = {
      {"num_key_value_heads", 2, [=](GptConfig& c) { c.n_kv_heads = defaults.n_kv_heads; },
       [=](GptConfig& c) { c.n_kv_heads = defaults.n_heads; }},
      {"head_dim", 6, [=](GptConfig& c) { c.head_dim = defaults.head_dim; }},
      {"max_position_embeddings", 64, [=](GptConfig& c) { c.max_seq_len = defaults.max_seq_len; }},
      {"rms_norm_eps", 1e-4, [=](GptConfig& c) { c.norm_eps = defaults.norm_eps; }},
      {"rope_theta", 20000, [=](GptConfig& c) { c.rope_theta = defaults.rope_theta; }}};
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

void without_window(GptConfig& config) {
  config.window = 0;
  config.window_pattern = "";
}

OptionalKey untied_by_default() {
  return {"tie_word_embeddings", true, [](GptConfig& c) { c.tied_head = false; }};
}
OptionalKey tied_by_default() {
  return {"tie_word_embeddings", false, [](GptConfig& c) { c.tied_head = true; }};
}
OptionalKey silu_by_default() {
  return {"hidden_act", "gelu_new", [](GptConfig& c) { c.activation = Activation::silu_gate; }};
}
OptionalKey no_attention_bias_by_default() {
  return {"attention_bias", true, [](GptConfig& c) { c.qkv_bias = c.out_bias = false; }};
}

// Source: class MistralConfig of transformers. A window that is null is none, one that is absent has 4096 positions.
TEST(HuggingFaceDefaults, OfMistralAreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::mistral, 2, 16);
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.window = 7;
  expect_defaults(
      huggingface_sizes("MistralForCausalLM", 2, 16), with_all,
      common_keys({.n_heads = 16, .n_kv_heads = 8, .head_dim = 8, .max_seq_len = 131072},
                  {untied_by_default(),
                   silu_by_default(),
                   {"sliding_window", 7, [](GptConfig& c) { c.window = 4096; }, [](GptConfig& c) { c.window = 0; }}}),
      read_huggingface);
}

/// Returns the keys of Qwen's windows: those of 7 positions in all layers but the first become others.
std::vector<OptionalKey> qwen_window_keys() {
  return {{"sliding_window", 7, [](GptConfig& c) { c.window = 4096; }, without_window},
          {"max_window_layers", 1, [](GptConfig& c) { c.window_pattern = std::string(28, 'f') + "ww"; }},
          {"use_sliding_window", true, without_window}};
}

// Source: class Qwen2Config of transformers.
TEST(HuggingFaceDefaults, OfQwen2AreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::qwen2, 30, 32);
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.window = 7;
  with_all.window_pattern = "f" + std::string(29, 'w');
  auto keys = common_keys({.n_heads = 32, .n_kv_heads = 32, .head_dim = 4, .max_seq_len = 32768},
                          {untied_by_default(), silu_by_default()});
  for (const OptionalKey& key : qwen_window_keys()) {
    keys.push_back(key);
  }
  expect_defaults(huggingface_sizes("Qwen2ForCausalLM", 30, 32), with_all, keys, read_huggingface);
  EXPECT_TRUE(with_all.qkv_bias && !with_all.out_bias) << "Qwen2 has biases on queries, keys and values only";
}

// Source: class Qwen3Config of transformers.
TEST(HuggingFaceDefaults, OfQwen3AreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::qwen3, 30, 32);
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.qkv_bias = with_all.out_bias = true;
  with_all.window = 7;
  with_all.window_pattern = "f" + std::string(29, 'w');
  auto keys = common_keys({.n_heads = 32, .n_kv_heads = 32, .head_dim = 128, .max_seq_len = 32768},
                          {untied_by_default(), silu_by_default(), no_attention_bias_by_default()});
  for (const OptionalKey& key : qwen_window_keys()) {
    keys.push_back(key);
  }
  expect_defaults(huggingface_sizes("Qwen3ForCausalLM", 30, 32), with_all, keys, read_huggingface);
}

// Source: class Olmo2Config of transformers.
TEST(HuggingFaceDefaults, OfOlmo2AreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::olmo2, 2, 4);
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.qkv_bias = with_all.out_bias = true;
  expect_defaults(huggingface_sizes("Olmo2ForCausalLM", 2, 4), with_all,
                  common_keys({.n_heads = 4, .n_kv_heads = 4, .head_dim = 32, .max_seq_len = 2048, .norm_eps = 1e-5},
                              {untied_by_default(), silu_by_default(), no_attention_bias_by_default()}),
                  read_huggingface);
}

// Source: class GPTNeoXConfig of transformers.
TEST(HuggingFaceDefaults, OfGptNeoxAreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::pythia, 2, 4);
  with_all.n_kv_heads = 4;
  with_all.head_dim = 32;
  with_all.rotated_dim = 16;
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh;
  with_all.parallel = false;
  with_all.qkv_bias = with_all.out_bias = false;
  expect_defaults(huggingface_sizes("GPTNeoXForCausalLM", 2, 4), with_all,
                  {{"max_position_embeddings", 64, [](GptConfig& c) { c.max_seq_len = 2048; }},
                   {"layer_norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"rotary_emb_base", 20000, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"rotary_pct", 0.5, [](GptConfig& c) { c.rotated_dim = 8; }},
                   {"hidden_act", "gelu_fast", [](GptConfig& c) { c.activation = Activation::gelu; }},
                   {"use_parallel_residual", false, [](GptConfig& c) { c.parallel = true; }},
                   {"attention_bias", false, [](GptConfig& c) { c.qkv_bias = c.out_bias = true; }},
                   untied_by_default()},
                  read_huggingface);
  EXPECT_TRUE(with_all.ffn_bias && with_all.norm_bias) << "the feed-forward maps and norms always have biases";
}

/// Returns the optional keys of both Gemmas.
std::vector<OptionalKey> gemma_keys(int64_t max_seq_len, double rope_theta, const std::vector<OptionalKey>& more) {
  auto keys = common_keys(
      {.n_heads = 8, .n_kv_heads = 4, .head_dim = 256, .max_seq_len = max_seq_len, .rope_theta = rope_theta},
      {tied_by_default(),
       no_attention_bias_by_default(),
       {"hidden_activation", "gelu", [](GptConfig& c) { c.activation = Activation::gelu_tanh_gate; }},
       {"query_pre_attn_scalar", 10, [](GptConfig& c) { c.query_scalar = 256; }}});
  keys.insert(keys.end(), more.begin(), more.end());
  return keys;
}

/// Returns the other values of gemma_keys().
GptConfig gemma_sizes(models::Family family) {
  GptConfig config = sizes_of(family, 8, 8);
  config.tied_head = false;
  config.qkv_bias = config.out_bias = true;
  config.activation = Activation::gelu_gate;
  config.query_scalar = 10;
  config.window = 4096;
  return config;
}

// Source: class Gemma2Config of transformers. Caps that are null are none.
TEST(HuggingFaceDefaults, OfGemma2AreThoseOfTransformers) {
  GptConfig with_all = gemma_sizes(models::Family::gemma2);
  with_all.attention_cap = 3;
  with_all.logit_cap = 2;
  with_all.window_pattern = "wf";
  expect_defaults(huggingface_sizes("Gemma2ForCausalLM", 8, 8), with_all,
                  gemma_keys(8192, 10000,
                             {{"attn_logit_softcapping", 3, [](GptConfig& c) { c.attention_cap = 50; },
                               [](GptConfig& c) { c.attention_cap = 0; }},
                              {"final_logit_softcapping", 2, [](GptConfig& c) { c.logit_cap = 30; },
                               [](GptConfig& c) { c.logit_cap = 0; }}}),
                  read_huggingface);
}

// Source: class Gemma3TextConfig of transformers.
TEST(HuggingFaceDefaults, OfGemma3AreThoseOfTransformers) {
  GptConfig with_all = gemma_sizes(models::Family::gemma3);
  with_all.local_rope_theta = 300;
  with_all.logit_cap = 2;
  with_all.window_pattern = "wwf";
  expect_defaults(huggingface_sizes("Gemma3ForCausalLM", 8, 8), with_all,
                  gemma_keys(131072, 1e6,
                             {{"rope_local_base_freq", 300, [](GptConfig& c) { c.local_rope_theta = 10000; }},
                              {"sliding_window_pattern", 3, [](GptConfig& c) { c.window_pattern = "wwwwwf"; }},
                              {"final_logit_softcapping", 2, [](GptConfig& c) { c.logit_cap = 0; }}}),
                  read_huggingface);
}

TEST(HuggingFaceDefaults, OfGemmasWindowAre4096Positions) {
  for (const std::string name : {"Gemma2ForCausalLM", "Gemma3ForCausalLM"}) {
    json object = huggingface_sizes(name, 8, 8);
    EXPECT_EQ(read_huggingface(object).window, 4096);
    object["sliding_window"] = 7;
    EXPECT_EQ(read_huggingface(object).window, 7);
  }
}

// The first Gemma configurations have "gelu" as hidden_act, which transformers reads as the tanh approximation.
TEST(HuggingFaceDefaults, OfGemmasActivationIgnoreTheOldKey) {
  for (const std::string name : {"Gemma2ForCausalLM", "Gemma3ForCausalLM"}) {
    json object = huggingface_sizes(name, 8, 8);
    object["hidden_act"] = "gelu";
    EXPECT_EQ(read_huggingface(object).activation, Activation::gelu_tanh_gate);
    object["hidden_activation"] = "gelu";
    EXPECT_EQ(read_huggingface(object).activation, Activation::gelu_gate);
  }
}

// Source: class Phi3Config of transformers.
TEST(HuggingFaceDefaults, OfPhi3AreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::phi3, 2, 4);
  with_all.head_dim = 8;
  with_all.rotated_dim = 4;
  with_all.tied_head = true;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.window = 7;
  json required = huggingface_sizes("Phi3ForCausalLM", 2, 4);
  expect_defaults(required, with_all,
                  {{"num_key_value_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                   // The rotated entries are half of a head, whatever its width.
                   {"head_dim", 8,
                    [](GptConfig& c) {
                      c.head_dim = 32;
                      c.rotated_dim = 16;
                    }},
                   {"max_position_embeddings", 64, [](GptConfig& c) { c.max_seq_len = 4096; }},
                   {"rms_norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"rope_theta", 20000, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"partial_rotary_factor", 0.5, [](GptConfig& c) { c.rotated_dim = 0; }},
                   untied_by_default(),
                   silu_by_default(),
                   {"sliding_window", 7, [](GptConfig& c) { c.window = 0; }}},
                  read_huggingface);
}

// Source: class SmolLM3Config of transformers.
TEST(HuggingFaceDefaults, OfSmollm3AreThoseOfTransformers) {
  GptConfig with_all = sizes_of(models::Family::smollm3, 6, 8);
  with_all.tied_head = false;
  with_all.activation = Activation::gelu_tanh_gate;
  with_all.qkv_bias = with_all.out_bias = with_all.ffn_bias = true;
  with_all.rope_pattern = "rrn";
  with_all.window = 7;
  with_all.window_pattern = "ffw";
  expect_defaults(huggingface_sizes("SmolLM3ForCausalLM", 6, 8), with_all,
                  common_keys({.n_heads = 8, .n_kv_heads = 4, .head_dim = 16, .max_seq_len = 32768, .rope_theta = 2e6},
                              {tied_by_default(),
                               silu_by_default(),
                               no_attention_bias_by_default(),
                               {"mlp_bias", true, [](GptConfig& c) { c.ffn_bias = false; }},
                               // Layers without rotation are those with a window.
                               {"no_rope_layer_interval", 3,
                                [](GptConfig& c) {
                                  c.rope_pattern = "rrrn";
                                  c.window_pattern = "fffw";
                                }},
                               {"use_sliding_window", true, without_window},
                               {"sliding_window", 7, without_window}}),
                  read_huggingface);
}

TEST(HuggingFaceDefaults, TakeTheArchitectureFromTheTypeOfModelIfItIsNotNamed) {
  const std::vector<std::pair<std::string, std::string>> types = {
      {"LlamaForCausalLM", "llama"},    {"MistralForCausalLM", "mistral"},    {"Qwen2ForCausalLM", "qwen2"},
      {"Qwen3ForCausalLM", "qwen3"},    {"Olmo2ForCausalLM", "olmo2"},        {"GPTNeoXForCausalLM", "gpt_neox"},
      {"Gemma2ForCausalLM", "gemma2"},  {"Gemma3ForCausalLM", "gemma3_text"}, {"Phi3ForCausalLM", "phi3"},
      {"SmolLM3ForCausalLM", "smollm3"}};
  for (const auto& [name, type] : types) {
    json named = huggingface_sizes(name, 2, 16);
    named["num_key_value_heads"] = 16;
    json changed = named;
    changed.erase("architectures");
    changed["model_type"] = type;
    EXPECT_EQ(read_huggingface(changed), read_huggingface(named)) << type;
  }
  json gpt2 = required_by_gpt2;
  gpt2.erase("architectures");
  gpt2["model_type"] = "gpt2";
  EXPECT_EQ(read_huggingface(gpt2), read_huggingface(required_by_gpt2));
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
  models::set_all_biases(with_all, true);
  with_all.activation = Activation::gelu_tanh;
  expect_defaults(required_by_us("gpt2"), with_all,
                  {{"n_kv_heads", 2, [](GptConfig& c) { c.n_kv_heads = 4; }},
                   {"head_dim", 10, [](GptConfig& c) { c.head_dim = 128; }},
                   {"ffn_hidden_dim", 50, [](GptConfig& c) { c.ffn_hidden_dim = 2048; }},
                   {"norm_eps", 1e-4, [](GptConfig& c) { c.norm_eps = 1e-5; }},
                   {"rope_theta", 12345, [](GptConfig& c) { c.rope_theta = 10000; }},
                   {"bias", true, [](GptConfig& c) { models::set_all_biases(c, false); }},
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
