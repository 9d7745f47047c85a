#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "huggingface_support.h"
#include "io/json_reader.h"
#include "tiny_models.h"

namespace hessian::tests {
namespace {

using models::Activation;
using models::GptConfig;
using nlohmann::json;
using support::huggingface_sizes;
using support::read_huggingface;
using support::refusal_of_huggingface;
using support::with_keys;

const json gpt2 = {
    {"architectures", {"GPT2LMHeadModel"}}, {"n_embd", 40}, {"n_layer", 2}, {"n_head", 4}, {"vocab_size", 83}};

/// Returns a configuration of an architecture that the defaults of the family fit.
json sizes(const std::string& name, int64_t n_layers = 6) {
  if (name == "GPT2LMHeadModel") {
    return gpt2;
  }
  return with_keys(huggingface_sizes(name, n_layers, 8), {{"num_key_value_heads", 8}});
}

GptConfig read(const std::string& name, const json& keys) {
  return read_huggingface(with_keys(sizes(name), keys));
}

/// Returns the refusal of a configuration with one more key.
std::string refusal(const std::string& name, const std::string& key, const json& value) {
  json object = sizes(name);
  object[key] = value;
  return refusal_of_huggingface(object);
}

/// Returns the names of all architectures.
std::vector<std::string> architectures() {
  return {"LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM",  "Qwen3ForCausalLM",
          "Olmo2ForCausalLM", "GPTNeoXForCausalLM", "Gemma2ForCausalLM", "Gemma3ForCausalLM",
          "Phi3ForCausalLM",  "SmolLM3ForCausalLM", "GPT2LMHeadModel"};
}

TEST(HuggingFaceConfig, RefusesArchitecturesItDoesNotKnow) {
  const std::string supported =
      "; supported are LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, Olmo2ForCausalLM, "
      "GPTNeoXForCausalLM, Gemma2ForCausalLM, Gemma3ForCausalLM, Phi3ForCausalLM, SmolLM3ForCausalLM, GPT2LMHeadModel";
  EXPECT_EQ(refusal("LlamaForCausalLM", "architectures", {"MixtralForCausalLM"}),
            "architecture 'MixtralForCausalLM' is not supported" + supported);
  EXPECT_EQ(refusal("LlamaForCausalLM", "architectures", json::array()),
            "'architectures' is [], expected a list of one name");
  json object = sizes("LlamaForCausalLM");
  object.erase("architectures");
  EXPECT_EQ(refusal_of_huggingface(object), "architecture '' is not supported" + supported);
  object["model_type"] = "gemma3";  // with images
  EXPECT_EQ(refusal_of_huggingface(object), "architecture 'gemma3' is not supported" + supported);
}

TEST(HuggingFaceConfig, RefusesValuesOfTheWrongKind) {
  EXPECT_EQ(refusal("LlamaForCausalLM", "hidden_size", "wide"),
            "'hidden_size' is \"wide\", expected a positive integer");
  EXPECT_EQ(refusal("LlamaForCausalLM", "hidden_size", nullptr), "has no 'hidden_size'");
  EXPECT_EQ(refusal("LlamaForCausalLM", "num_hidden_layers", 0),
            "'num_hidden_layers' is 0, expected a positive integer");
  EXPECT_EQ(refusal("LlamaForCausalLM", "vocab_size", int64_t{1} << 31),
            "'vocab_size' is 2147483648, expected a positive integer");
  EXPECT_EQ(refusal("LlamaForCausalLM", "rms_norm_eps", 0), "'rms_norm_eps' is 0, expected a positive number");
  EXPECT_EQ(refusal("LlamaForCausalLM", "attention_bias", 1), "'attention_bias' is 1, expected true or false");
  EXPECT_EQ(refusal("LlamaForCausalLM", "hidden_act", 1), "'hidden_act' is 1, expected a string");
  EXPECT_EQ(refusal("LlamaForCausalLM", "num_attention_heads", 7), "7 heads do not divide the width of 128");
  EXPECT_EQ(refusal("GPT2LMHeadModel", "n_head", 7), "7 heads do not divide the width of 40");
  EXPECT_EQ(refusal("LlamaForCausalLM", "num_key_value_heads", 3), "n_kv_heads 3 does not divide n_heads 8");
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "head_dim", 8),
            "has 8 key/value heads of 8 entries, but only 8 of 16 are supported");
}

TEST(HuggingFaceConfig, RefusesActivationsItDoesNotKnow) {
  const std::string gelus =
      "gelu, gelu_python, gelu_new, gelu_fast, gelu_accurate, gelu_pytorch_tanh, gelu_python_tanh";
  EXPECT_EQ(refusal("LlamaForCausalLM", "hidden_act", "relu"),
            "'hidden_act' is 'relu'; supported are silu, swish, " + gelus);
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "hidden_act", "silu"), "'hidden_act' is 'silu'; supported are " + gelus);
  EXPECT_EQ(refusal("GPT2LMHeadModel", "activation_function", "relu"),
            "'activation_function' is 'relu'; supported are " + gelus);
  EXPECT_EQ(refusal("Gemma2ForCausalLM", "hidden_activation", "quick_gelu"),
            "'hidden_activation' is 'quick_gelu'; supported are silu, swish, " + gelus);
  EXPECT_EQ(refusal("Gemma3ForCausalLM", "hidden_act", "silu"),
            "'hidden_act' is \"silu\", expected a GELU; only 'hidden_activation' selects another");
}

TEST(HuggingFaceConfig, MapsEveryWordOfAnActivation) {
  const std::vector<std::pair<std::string, Activation>> gated = {
      {"silu", Activation::silu_gate},          {"swish", Activation::silu_gate},
      {"gelu", Activation::gelu_gate},          {"gelu_python", Activation::gelu_gate},
      {"gelu_new", Activation::gelu_tanh_gate}, {"gelu_pytorch_tanh", Activation::gelu_tanh_gate}};
  for (const auto& [word, activation] : gated) {
    EXPECT_EQ(read("LlamaForCausalLM", {{"hidden_act", word}}).activation, activation) << word;
  }
  for (const std::string word : {"gelu_new", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh"}) {
    EXPECT_EQ(read("GPTNeoXForCausalLM", {{"hidden_act", word}}).activation, Activation::gelu_tanh) << word;
    EXPECT_EQ(read("GPT2LMHeadModel", {{"activation_function", word}}).activation, Activation::gelu_tanh) << word;
  }
}

// Each of these keys changes the computation in some architecture.
TEST(HuggingFaceConfig, RefusesKeysThatTheArchitectureDoesNotSupport) {
  for (const std::string& name : architectures()) {
    SCOPED_TRACE(name);
    EXPECT_EQ(refusal(name, "quantization_config", {{"bits", 4}}),
              "'quantization_config' is {\"bits\":4}, but only models without it are supported");
    EXPECT_EQ(refusal(name, "pretraining_tp", 2), "'pretraining_tp' is 2, but only 1 is supported");
    EXPECT_EQ(refusal(name, "clip_qkv", 8.0), "'clip_qkv' is 8.0, but only models without it are supported");
    EXPECT_EQ(refusal(name, "add_cross_attention", true), "'add_cross_attention' is true, but only false is supported");
    EXPECT_EQ(refusal(name, "use_bidirectional_attention", true),
              "'use_bidirectional_attention' is true, but only false is supported");
    if (name.find("Gemma") == std::string::npos) {
      EXPECT_EQ(refusal(name, "final_logit_softcapping", 30.0),
                "'final_logit_softcapping' is 30.0, but only models without it are supported");
      EXPECT_EQ(refusal(name, "query_pre_attn_scalar", 16),
                "'query_pre_attn_scalar' is 16, but only models without it are supported");
    }
    if (name != "Gemma2ForCausalLM") {
      EXPECT_EQ(refusal(name, "attn_logit_softcapping", 50.0),
                "'attn_logit_softcapping' is 50.0, but only models without it are supported");
    }
    if (name != "SmolLM3ForCausalLM") {
      EXPECT_EQ(refusal(name, "no_rope_layers", {1, 0}),
                "'no_rope_layers' is [1,0], but only models without it are supported");
    }
    // The neutral values are fine.
    EXPECT_EQ(read_huggingface(with_keys(sizes(name), {{"pretraining_tp", 1}, {"is_encoder_decoder", false}})),
              read_huggingface(sizes(name)));
  }
  EXPECT_EQ(refusal("MistralForCausalLM", "attention_bias", true),
            "'attention_bias' is true, but only false is supported");
  EXPECT_EQ(refusal("Qwen3ForCausalLM", "mlp_bias", true), "'mlp_bias' is true, but only false is supported");
  EXPECT_EQ(refusal("Olmo2ForCausalLM", "sliding_window", 8),
            "'sliding_window' is 8, but only models without it are supported");
  EXPECT_EQ(
      refusal("Olmo2ForCausalLM", "layer_types", {"full_attention", "sliding_attention"}),
      "'layer_types' is [\"full_attention\",\"sliding_attention\"], but only \"full_attention\" is supported in every "
      "layer");
  EXPECT_EQ(refusal("Gemma2ForCausalLM", "sliding_window_pattern", 3),
            "'sliding_window_pattern' is 3, but only 2 is supported");
  EXPECT_EQ(refusal("GPT2LMHeadModel", "scale_attn_by_inverse_layer_idx", true),
            "'scale_attn_by_inverse_layer_idx' is true, but only false is supported");
  EXPECT_EQ(refusal("GPT2LMHeadModel", "reorder_and_upcast_attn", true),
            "'reorder_and_upcast_attn' is true, but only false is supported");
  EXPECT_EQ(refusal("GPT2LMHeadModel", "scale_attn_weights", false),
            "'scale_attn_weights' is false, but only true is supported");
}

TEST(HuggingFaceConfig, ReadsBothSpellingsOfRope) {
  const json scaling = {
      {"factor", 8.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}, {"original_max_position_embeddings", 64}};
  const auto expected = read(
      "LlamaForCausalLM", {{"rope_parameters", with_keys(scaling, {{"rope_type", "llama3"}, {"rope_theta", 20000}})}});
  EXPECT_EQ(expected.rope_scaling.type, models::RopeType::llama3);
  EXPECT_EQ(expected.rope_scaling.factor, 8);
  EXPECT_EQ(expected.rope_scaling.original_max_seq_len, 64);
  EXPECT_EQ(expected.rope_theta, 20000);
  for (const char* type_key : {"rope_type", "type"}) {
    EXPECT_EQ(
        read("LlamaForCausalLM", {{"rope_theta", 20000}, {"rope_scaling", with_keys(scaling, {{type_key, "llama3"}})}}),
        expected);
    EXPECT_EQ(read("LlamaForCausalLM",
                   {{"rope_theta", 20000}, {"rope_parameters", with_keys(scaling, {{type_key, "llama3"}})}}),
              expected);
  }
  // The same object twice is one.
  const json object = with_keys(scaling, {{"type", "llama3"}, {"rope_type", "llama3"}, {"rope_theta", 20000}});
  EXPECT_EQ(read("LlamaForCausalLM", {{"rope_scaling", object}, {"rope_parameters", object}}), expected);
  EXPECT_EQ(read("LlamaForCausalLM", {{"rope_theta", 20000}, {"rope_scaling", json::object()}}).rope_scaling.type,
            models::RopeType::plain);
}

TEST(HuggingFaceConfig, TakesTheOriginalLengthFromOutsideOrInside) {
  const json yarn = {{"rope_type", "yarn"}, {"factor", 4}};
  const auto length = [&](const json& keys) {
    return read("Qwen3ForCausalLM", keys).rope_scaling.original_max_seq_len;
  };
  EXPECT_EQ(length({{"rope_scaling", yarn}, {"max_position_embeddings", 512}}), 512);
  const json inside = with_keys(yarn, {{"original_max_position_embeddings", 128}});
  EXPECT_EQ(length({{"rope_scaling", inside}}), 128);
  EXPECT_EQ(length({{"rope_scaling", yarn}, {"original_max_position_embeddings", 256}}), 256);
  EXPECT_EQ(length({{"rope_scaling", inside}, {"original_max_position_embeddings", 128}}), 128);
  // transformers would ignore the value inside.
  json both =
      with_keys(sizes("Qwen3ForCausalLM"), {{"rope_scaling", inside}, {"original_max_position_embeddings", 256}});
  EXPECT_EQ(refusal_of_huggingface(both),
            "'rope_scaling.original_max_position_embeddings' is 128, expected 256 as outside of the object");
}

json longrope(const std::string& type) {
  return {{"type", type}, {"short_factor", json::array_t(8, 1.0)}, {"long_factor", json::array_t(8, 2.0)}};
}

// "su" and "yarn" are older names of Phi-3's longrope. Its original length is 4096 unless the file says otherwise.
TEST(HuggingFaceConfig, ReadsTheLongropeOfPhi3UnderEachOfItsNames) {
  for (const std::string type : {"longrope", "su", "yarn"}) {
    const auto config =
        read("Phi3ForCausalLM", {{"rope_scaling", longrope(type)}, {"max_position_embeddings", 131072}});
    EXPECT_EQ(config.rope_scaling.type, models::RopeType::longrope) << type;
    EXPECT_EQ(config.rope_scaling.original_max_seq_len, 4096);
    EXPECT_EQ(config.rope_scaling.factor, 32);
    EXPECT_EQ(config.rope_scaling.short_factors, std::vector<double>(8, 1.0));
    EXPECT_EQ(config.rope_scaling.long_factors, std::vector<double>(8, 2.0));
  }
  EXPECT_EQ(refusal("Phi3ForCausalLM", "rope_scaling",
                    with_keys(longrope("longrope"), {{"original_max_position_embeddings", 8}})),
            "'rope_scaling.original_max_position_embeddings' is 8, expected 4096 as outside of the object");
  EXPECT_EQ(refusal("Phi3ForCausalLM", "rope_scaling", {{"rope_type", "linear"}, {"factor", 2}}),
            "'rope_scaling.rope_type' is 'linear', but this architecture has only 'default' and 'longrope'");
}

// GPT-NeoX has names of its own; files of transformers 4 have both.
TEST(HuggingFaceConfig, ReadsTheRotatedShareUnderEachOfItsNames) {
  const auto expected = read("GPTNeoXForCausalLM", {{"rotary_pct", 0.5}, {"rotary_emb_base", 20000}});
  EXPECT_EQ(expected.rotated_dim, 8);
  EXPECT_EQ(expected.rope_theta, 20000);
  EXPECT_EQ(
      read("GPTNeoXForCausalLM",
           {{"rotary_pct", 0.5}, {"partial_rotary_factor", 0.5}, {"rotary_emb_base", 20000}, {"rope_theta", 20000}}),
      expected);
  EXPECT_EQ(read("GPTNeoXForCausalLM", {{"rope_parameters", {{"partial_rotary_factor", 0.5}, {"rope_theta", 20000}}}}),
            expected);
  EXPECT_EQ(read("GPTNeoXForCausalLM", {{"rotary_pct", 1.0}}).rotated_dim, 0) << "all entries";
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "rope_theta", 500),
            "'rope_theta' is 500, expected 10000 as in 'rotary_emb_base'");
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "partial_rotary_factor", 0.5),
            "'partial_rotary_factor' is 0.5, expected 0.25 as in 'rotary_pct'");
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "rotary_pct", 0.2),
            "'partial_rotary_factor' is 0.2, expected a share of head_dim 16 that is even");
  EXPECT_EQ(refusal("GPTNeoXForCausalLM", "rotary_pct", 1.5),
            "'partial_rotary_factor' is 1.5, expected a share of head_dim 16 that is even");
}

TEST(HuggingFaceConfig, ReadsBothSpellingsOfTheTwoRopesOfGemma3) {
  const json scaling = {{"rope_type", "linear"}, {"factor", 8}};
  const auto expected =
      read("Gemma3ForCausalLM", {{"rope_theta", 20000}, {"rope_local_base_freq", 300}, {"rope_scaling", scaling}});
  EXPECT_EQ(expected.rope_theta, 20000);
  EXPECT_EQ(expected.local_rope_theta, 300);
  EXPECT_EQ(expected.rope_scaling.type, models::RopeType::linear);
  const json nested = {{"full_attention", with_keys(scaling, {{"rope_theta", 20000}})},
                       {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", 300}}}};
  EXPECT_EQ(read("Gemma3ForCausalLM", {{"rope_parameters", nested}}), expected);
  const auto empty = read("Gemma3ForCausalLM", {{"rope_parameters", {{"full_attention", {{"rope_type", "default"}}}}}});
  EXPECT_EQ(empty.rope_theta, 1e6);
  EXPECT_EQ(empty.local_rope_theta, 10000);
  const auto nested_refusal = [](const json& rope) { return refusal("Gemma3ForCausalLM", "rope_parameters", rope); };
  EXPECT_EQ(nested_refusal({{"sliding_attention", scaling}}),
            "'rope_parameters.sliding_attention.rope_type' is 'linear', but only 'default' is supported");
  EXPECT_EQ(nested_refusal({{"rope_theta", 1e6}}),
            "'rope_parameters.rope_theta' is 1000000.0, but only models without it are supported");
}

TEST(HuggingFaceConfig, RefusesRopesItCannotCompute) {
  const auto llama = [](const json& rope) { return refusal("LlamaForCausalLM", "rope_scaling", rope); };
  EXPECT_EQ(llama("linear"), "'rope_scaling' is \"linear\", expected an object");
  EXPECT_EQ(
      llama({{"rope_type", "su"}}),
      "'rope_scaling.rope_type': 'su' is no type of RoPE; known are default, linear, dynamic, llama3, yarn, longrope");
  EXPECT_EQ(llama({{"factor", 8}}), "'rope_scaling.factor' is 8, but the type is 'default', which has none");
  EXPECT_EQ(llama({{"rope_type", "default"}, {"beta_fast", 32}}),
            "'rope_scaling.beta_fast' is 32, but only models without it are supported");
  EXPECT_EQ(llama({{"type", "linear"}, {"rope_type", "yarn"}}),
            "'rope_scaling.rope_type' is 'yarn', but 'rope_scaling.type' is 'linear'");
  for (const std::string type : {"linear", "dynamic", "llama3"}) {
    EXPECT_EQ(llama({{"rope_type", type}}), "has no 'rope_scaling.factor'") << type;
    EXPECT_EQ(llama({{"rope_type", type}, {"factor", 0}}), "'rope_scaling.factor' is 0, expected a positive number");
  }
  EXPECT_EQ(llama({{"rope_type", "llama3"}, {"factor", 8}}), "has no 'rope_scaling.low_freq_factor'");
  EXPECT_EQ(llama({{"rope_type", "llama3"}, {"factor", 8}, {"low_freq_factor", 4}, {"high_freq_factor", 4}}),
            "high_freq_factor 4 of RoPE's scaling must exceed low_freq_factor 4");
  EXPECT_EQ(llama({{"rope_type", "longrope"}}), "has no 'rope_scaling.short_factor'");
  json wrong = longrope("longrope");
  wrong["long_factor"] = {1.0, 2.0};
  EXPECT_EQ(llama(wrong), "long_factors of RoPE's scaling has 2 numbers, expected 8, one per rotated pair");
  wrong["long_factor"] = {1.0, "x"};
  EXPECT_EQ(llama(wrong), "'rope_scaling.long_factor' is \"x\", expected a positive number");
  EXPECT_EQ(llama({{"rope_type", "yarn"}, {"attention_factor", -1}}),
            "'rope_scaling.attention_factor' is -1, expected a positive number");
  EXPECT_EQ(llama({{"rope_type", "linear"}, {"factor", 2}, {"mrope_section", {2, 3, 3}}}),
            "'rope_scaling.mrope_section' is [2,3,3], but only models without it are supported");
  EXPECT_EQ(llama({{"rope_type", "linear"}, {"factor", 2}, {"partial_rotary_factor", 0.5}}),
            "'partial_rotary_factor' is 0.5, but only 1 is supported");
  EXPECT_EQ(refusal("LlamaForCausalLM", "partial_rotary_factor", 0.5),
            "'partial_rotary_factor' is 0.5, but only 1 is supported");
  EXPECT_EQ(refusal("LlamaForCausalLM", "rope_theta", "x"), "'rope_theta' is \"x\", expected a positive number");
  json both = sizes("LlamaForCausalLM");
  both["rope_scaling"] = {{"rope_type", "linear"}, {"factor", 2}};
  both["rope_parameters"] = {{"rope_type", "default"}};
  EXPECT_EQ(refusal_of_huggingface(both),
            "'rope_scaling' is {\"factor\":2,\"rope_type\":\"linear\"}, but 'rope_parameters' is "
            "{\"rope_type\":\"default\"}; only one of them is supported");
  EXPECT_EQ(refusal("GPT2LMHeadModel", "rope_scaling", {{"rope_type", "linear"}}),
            "'rope_scaling' is {\"rope_type\":\"linear\"}, but only models without it are supported");
}

json types_of(const std::string& letters) {
  json types = json::array();
  for (const char letter : letters) {
    types.push_back(letter == 'w' ? "sliding_attention" : "full_attention");
  }
  return types;
}

TEST(HuggingFaceConfig, StoresTheShortestPatternOfTheListedLayers) {
  const auto pattern = [](const std::string& letters) {
    json object = with_keys(sizes("Gemma3ForCausalLM", static_cast<int64_t>(letters.size())), {{"sliding_window", 5}});
    object["layer_types"] = types_of(letters);
    const GptConfig config = read_huggingface(object);
    for (std::size_t layer = 0; layer < letters.size(); ++layer) {
      EXPECT_EQ(models::has_window(config, static_cast<int64_t>(layer)), letters[layer] == 'w') << letters << layer;
    }
    return config.window_pattern;
  };
  EXPECT_EQ(pattern("wwwww"), "");
  EXPECT_EQ(pattern("wfwfw"), "wf");
  EXPECT_EQ(pattern("wwfwwfw"), "wwf");
  EXPECT_EQ(pattern("ffw"), "ffw");
  EXPECT_EQ(pattern("wffffw"), "wffff");
  EXPECT_EQ(pattern("fffff"), "");
  json full = sizes("Gemma2ForCausalLM", 2);
  full["layer_types"] = types_of("ff");
  EXPECT_EQ(read_huggingface(full).window, 0);
}

TEST(HuggingFaceConfig, ReadsListsOfLayersOfEveryFamilyThatHasThem) {
  for (const std::string name : {"Qwen2ForCausalLM", "Qwen3ForCausalLM", "SmolLM3ForCausalLM"}) {
    json object = with_keys(sizes(name), {{"use_sliding_window", true}, {"sliding_window", 5}});
    object["layer_types"] = types_of("wfwfwf");
    EXPECT_EQ(read_huggingface(object).window_pattern, "wf") << name;
    EXPECT_EQ(read_huggingface(object).window, 5) << name;
    object["use_sliding_window"] = false;
    EXPECT_EQ(refusal_of_huggingface(object),
              "'layer_types' has \"sliding_attention\", but there is no 'sliding_window'");
  }
  for (const std::string name : {"LlamaForCausalLM", "MistralForCausalLM", "Phi3ForCausalLM"}) {
    json object = sizes(name);
    object["sliding_window"] = 5;
    object["layer_types"] = types_of("wwwwww");
    EXPECT_EQ(read_huggingface(object).window, 5) << name;
    EXPECT_EQ(read_huggingface(object).window_pattern, "") << name;
    object["layer_types"] = types_of("wfwwww");
    EXPECT_EQ(refusal_of_huggingface(object), "'layer_types' is " + models::json_text(object["layer_types"]) +
                                                  ", but this architecture has the window in every layer");
    object["sliding_window"] = nullptr;
    object["layer_types"] = types_of("ffffff");
    EXPECT_EQ(read_huggingface(object).window, 0) << name;
    object["layer_types"] = types_of("fffffw");
    EXPECT_EQ(refusal_of_huggingface(object), "'layer_types' is " + models::json_text(object["layer_types"]) +
                                                  ", but this architecture has full attention in every "
                                                  "layer");
  }
}

TEST(HuggingFaceConfig, ReadsTheLayersOfSmollm3WithoutRotation) {
  const auto pattern = [](const json& list) {
    json object = sizes("SmolLM3ForCausalLM");
    object["no_rope_layers"] = list;
    return read_huggingface(object).rope_pattern;
  };
  EXPECT_EQ(pattern({1, 1, 0, 1, 1, 0}), "rrn");
  EXPECT_EQ(pattern({1, 1, 1, 1, 1, 1}), "");
  EXPECT_EQ(pattern({0, 0, 0, 0, 0, 0}), "n");
  EXPECT_EQ(pattern({1, 0, 1, 0, 1, 0, 1, 1, 1}), "rn") << "entries beyond the last layer do not count";
  EXPECT_EQ(refusal("SmolLM3ForCausalLM", "no_rope_layers", {1, 1}),
            "'no_rope_layers' is [1,1], expected a list of 0 and 1, one per layer of 6");
  EXPECT_EQ(refusal("SmolLM3ForCausalLM", "no_rope_layers", {1, 1, 2, 1, 1, 1}),
            "'no_rope_layers' is [1,1,2,1,1,1], expected a list of 0 and 1, one per layer of 6");
  EXPECT_EQ(refusal("SmolLM3ForCausalLM", "no_rope_layers", 1),
            "'no_rope_layers' is 1, expected a list of 0 and 1, one per layer of 6");
}

TEST(HuggingFaceConfig, RefusesListsOfLayersThatDoNotFit) {
  EXPECT_EQ(refusal("Gemma2ForCausalLM", "layer_types", types_of("wf")),
            R"('layer_types' is ["sliding_attention","full_attention"], expected a list of 6 words, one per layer)");
  EXPECT_EQ(
      refusal("Qwen3ForCausalLM", "layer_types", json::array_t(6, "chunked_attention")),
      R"('layer_types' has "chunked_attention", but only "full_attention" and "sliding_attention" are supported)");
  EXPECT_EQ(refusal("Gemma2ForCausalLM", "sliding_window", nullptr),
            "'layer_types' has \"sliding_attention\", but there is no 'sliding_window'");
  EXPECT_EQ(refusal("MistralForCausalLM", "use_sliding_window", false),
            "'use_sliding_window' is false, but 'sliding_window' is 4096");
  EXPECT_EQ(refusal("Qwen2ForCausalLM", "max_window_layers", -1),
            "'max_window_layers' is -1, expected a non-negative integer");
}

TEST(HuggingFaceConfig, GivesALlamaTheFamilyOfItsRopeBase) {
  EXPECT_EQ(read("LlamaForCausalLM", {{"rope_theta", 499999}}).family, models::Family::llama2);
  EXPECT_EQ(read("LlamaForCausalLM", {{"rope_theta", 500000}}).family, models::Family::llama3);
}

}  // namespace
}  // namespace hessian::tests
