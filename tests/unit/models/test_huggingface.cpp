#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoints/huggingface.h"
#include "checkpoints/rope_rows.h"
#include "formats/safetensors.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::load_huggingface_model;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES "/huggingface/";

/// Copies the folder of a fixture, to be changed.
std::string copy_fixture(const TemporaryFolder& folder, const std::string& name) {
  std::filesystem::remove_all(folder / name);
  std::filesystem::copy(fixtures + name, folder / name);
  return folder / name;
}

/// Returns the refusal of a fixture after a change of a JSON file, starting with the path relative to the temporary
/// folder.
template <typename Change>
std::string full_refusal(const std::string& name, const std::string& file, const Change& change) {
  const TemporaryFolder folder;
  const std::string path = copy_fixture(folder, name);
  auto json = nlohmann::json::parse(support::read_file(path + "/" + file));
  change(json);
  folder.write(name + "/" + file, json.dump());
  return support::without_prefix(refusal_of([&] { load_huggingface_model(path); }), folder.path() + "/");
}

/// Returns the refusal of a fixture after a change of a JSON file, without the folder.
template <typename Change>
std::string refusal(const std::string& name, const std::string& file, const Change& change) {
  return support::without_prefix(full_refusal(name, file, change), name + "/");
}

std::string config_refusal(const std::string& name, const char* key, const nlohmann::json& value) {
  return refusal(name, "config.json", [&](nlohmann::json& json) { json[key] = value; });
}

TEST(HuggingFace, InterleavesTheRowsOfEveryHead) {
  // Two heads of 4 rows: pairs (0, 2), (1, 3) of each become neighbours.
  const at::Tensor rows = at::arange(8, at::kFloat).unsqueeze(1).expand({8, 3});
  const at::Tensor expected = at::tensor({0, 2, 1, 3, 4, 6, 5, 7}, at::kFloat).unsqueeze(1).expand({8, 3});
  EXPECT_TRUE(models::interleave_rope_rows(rows, 2).equal(expected));
  EXPECT_THROW(models::interleave_rope_rows(rows, 3), std::invalid_argument);
}

TEST(HuggingFace, InterleavesTheFirstRowsOfEveryHeadIfRotationIsPartial) {
  const at::Tensor rows = at::arange(12, at::kFloat);
  const at::Tensor expected = at::tensor({0, 2, 1, 3, 4, 5, 6, 8, 7, 9, 10, 11}, at::kFloat);
  EXPECT_TRUE(models::interleave_rope_rows(rows, 2, 4).equal(expected));
  EXPECT_THROW(models::interleave_rope_rows(rows, 2, 3), std::invalid_argument);
  EXPECT_THROW(models::interleave_rope_rows(rows, 2, 8), std::invalid_argument);
}

// q.k after rotation must not depend on which of the two layouts it is computed in.
TEST(HuggingFace, RotationInEitherLayoutGivesTheSameScores) {
  const int64_t half = 4;
  const at::Tensor w = at::rand({2 * half, 5}, at::kDouble);
  const at::Tensor x = at::rand({5}, at::kDouble);
  const at::Tensor angle = at::pow(10000.0, -at::arange(half, at::kDouble) / half) * 7;
  const at::Tensor y = at::mv(w, x);
  const at::Tensor first = y.slice(0, 0, half);
  const at::Tensor second = y.slice(0, half);
  const at::Tensor split =
      at::cat({first * angle.cos() - second * angle.sin(), second * angle.cos() + first * angle.sin()});

  const at::Tensor z = at::mv(models::interleave_rope_rows(w, 1), x).view({half, 2});
  const at::Tensor even = z.select(1, 0);
  const at::Tensor odd = z.select(1, 1);
  const at::Tensor pairs =
      at::stack({even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()}, 1).flatten();
  EXPECT_LT((models::interleave_rope_rows(split.unsqueeze(1), 1).squeeze(1) - pairs).abs().max().item<double>(), 1e-14);
}

TEST(HuggingFace, ReadsAShardedLlamaWithGroupedQueries) {
  const auto model = load_huggingface_model(fixtures + "llama_gqa");
  models::GptConfig expected;
  expected.family = models::Family::llama3;
  expected.dim = 48;
  expected.n_layers = 3;
  expected.n_heads = 6;
  expected.n_kv_heads = 2;
  expected.head_dim = 8;
  expected.ffn_hidden_dim = 96;
  expected.vocab_size = 101;
  expected.max_seq_len = 64;
  expected.norm_eps = 1e-6;
  expected.rope_theta = 500000;
  EXPECT_EQ(model.config, expected);
  const auto shard = models::load_safetensors(fixtures + "llama_gqa/model-00001-of-00009.safetensors").tensors;
  const auto& q = shard.at("model.layers.0.self_attn.q_proj.weight");
  const auto& loaded = model.parameters.at("layers.0.attention.wq.weight");
  for (int64_t row = 0; row < q.size(0); ++row) {
    const int64_t head = row / 8;
    const int64_t inside = row % 8;
    EXPECT_TRUE(loaded[row].equal(q[head * 8 + inside / 2 + (inside % 2) * 4])) << row;
  }
  EXPECT_TRUE(
      model.parameters.at("layers.0.attention.wv.weight").equal(shard.at("model.layers.0.self_attn.v_proj.weight")));
  EXPECT_TRUE(model.parameters.at("tok_embeddings.weight").equal(shard.at("model.embed_tokens.weight")));
  EXPECT_EQ(model.parameters.at("output.weight").sizes(), at::IntArrayRef({101, 48}));
}

TEST(HuggingFace, MapsTheFeedForwardAndNormsOfATiedLlama) {
  const auto model = load_huggingface_model(fixtures + "llama_tied");
  const auto raw = models::load_safetensors(fixtures + "llama_tied/model.safetensors").tensors;
  EXPECT_EQ(model.config.family, models::Family::llama2);
  EXPECT_TRUE(model.config.tied_head);
  EXPECT_FALSE(model.parameters.contains("output.weight"));
  const std::vector<std::pair<std::string, std::string>> names = {
      {"feed_forward.w1", "mlp.gate_proj"},  {"feed_forward.w2", "mlp.down_proj"},
      {"feed_forward.w3", "mlp.up_proj"},    {"attention.wo", "self_attn.o_proj"},
      {"attention_norm", "input_layernorm"}, {"ffn_norm", "post_attention_layernorm"}};
  for (const auto& [ours, theirs] : names) {
    EXPECT_TRUE(
        model.parameters.at("layers.1." + ours + ".weight").equal(raw.at("model.layers.1." + theirs + ".weight")))
        << ours;
  }
}

TEST(HuggingFace, TransposesTheConv1dWeightsOfGpt2) {
  const auto model = load_huggingface_model(fixtures + "gpt2");
  const auto raw = models::load_safetensors(fixtures + "gpt2/model.safetensors").tensors;
  EXPECT_EQ(model.config.activation, models::Activation::gelu_tanh);
  EXPECT_EQ(model.config.ffn_hidden_dim, 160);
  EXPECT_TRUE(model.config.norm_bias);
  const auto& qkv = raw.at("transformer.h.1.attn.c_attn.weight");
  EXPECT_TRUE(model.parameters.at("layers.1.attention.wk.weight").equal(qkv.slice(1, 40, 80).t()));
  EXPECT_TRUE(
      model.parameters.at("layers.0.feed_forward.w2.weight").equal(raw.at("transformer.h.0.mlp.c_proj.weight").t()));
  EXPECT_TRUE(model.parameters.at("layers.0.attention.wv.bias")
                  .equal(raw.at("transformer.h.0.attn.c_attn.bias").slice(0, 80, 120)));
}

TEST(HuggingFace, ReadsGpt2WithoutThePrefixAndWithBuffers) {
  const TemporaryFolder folder;
  const std::string path = copy_fixture(folder, "gpt2");
  hessian::Parameters renamed;
  for (const auto& [name, tensor] : models::load_safetensors(fixtures + "gpt2/model.safetensors").tensors) {
    renamed.add(name.substr(std::string("transformer.").size()), tensor);
  }
  renamed.add("h.0.attn.bias", at::ones({1, 1, 4, 4}, at::kByte));
  renamed.add("h.0.attn.masked_bias", at::scalar_tensor(-1e4));
  models::save_safetensors(path + "/model.safetensors", renamed, {});
  const auto expected = load_huggingface_model(fixtures + "gpt2");
  const auto model = load_huggingface_model(path);
  for (const auto& [name, tensor] : expected.parameters) {
    EXPECT_TRUE(model.parameters.at(name).equal(tensor)) << name;
  }
}

TEST(HuggingFace, TakesTheRopeBaseFromEitherPlace) {
  const TemporaryFolder folder;
  const std::string path = copy_fixture(folder, "llama_tied");
  auto json = nlohmann::json::parse(support::read_file(path + "/config.json"));
  json.erase("rope_parameters");
  json["rope_theta"] = 500000;
  json["rope_scaling"] = nullptr;
  folder.write("llama_tied/config.json", json.dump());
  const auto model = load_huggingface_model(path);
  EXPECT_EQ(model.config.rope_theta, 500000);
  EXPECT_EQ(model.config.family, models::Family::llama3);
}

/// Returns a fixture's model after a change of its configuration.
template <typename Change>
models::Model with_config(const std::string& name, const Change& change) {
  const TemporaryFolder folder;
  const std::string path = copy_fixture(folder, name);
  auto json = nlohmann::json::parse(support::read_file(path + "/config.json"));
  change(json);
  folder.write(name + "/config.json", json.dump());
  return load_huggingface_model(path);
}

void expect_same(const models::Model& model, const models::Model& expected) {
  EXPECT_EQ(model.config, expected.config);
  ASSERT_EQ(model.parameters.size(), expected.parameters.size());
  for (const auto& [name, tensor] : expected.parameters) {
    EXPECT_TRUE(model.parameters.at(name).equal(tensor)) << name;
  }
}

// transformers ties the head of GPT-2 by default and that of Llama not.
TEST(HuggingFace, TiesTheHeadOfGpt2AndNotThatOfLlamaIfTheConfigurationDoesNotSay) {
  const auto without_key = [](nlohmann::json& json) { json.erase("tie_word_embeddings"); };
  for (const std::string name : {"gpt2", "llama_gqa"}) {
    const auto model = with_config(name, without_key);
    EXPECT_EQ(model.config.tied_head, name == "gpt2");
    EXPECT_EQ(model.parameters.contains("output.weight"), name == "llama_gqa");
    expect_same(model, load_huggingface_model(fixtures + name));
  }
  EXPECT_EQ(full_refusal("llama_tied", "config.json", without_key),
            "llama_tied: tensor 'lm_head.weight' [89, 32] is absent");
}

TEST(HuggingFace, ReadsShardsInEitherOrder) {
  const TemporaryFolder folder;
  const std::string path = copy_fixture(folder, "llama_gqa");
  const auto reversed = [](std::string name) {
    char& digit = name.at(std::string("model-0000").size());  // 1 to 9
    digit = static_cast<char>('1' + '9' - digit);
    return "reversed-" + name;
  };
  auto index = nlohmann::json::parse(support::read_file(path + "/model.safetensors.index.json"));
  for (auto& shard : index["weight_map"]) {
    const std::string name = shard;
    if (std::filesystem::exists(path + "/" + name)) {
      std::filesystem::rename(path + "/" + name, path + "/" + reversed(name));
    }
    shard = reversed(name);
  }
  folder.write("llama_gqa/model.safetensors.index.json", index.dump());
  expect_same(load_huggingface_model(path), load_huggingface_model(fixtures + "llama_gqa"));
}

TEST(HuggingFace, RefusesTensorsThatDoNotFit) {
  EXPECT_EQ(config_refusal("llama_tied", "intermediate_size", 81),
            "model.safetensors: tensor 'model.layers.0.mlp.gate_proj.weight' is [80, 32], expected [81, 32]");
  EXPECT_EQ(config_refusal("gpt2", "n_layer", 1),
            "model.safetensors: tensor 'transformer.h.1.attn.c_attn.bias' [120] is not part of this architecture");
}

TEST(HuggingFace, RefusesABadIndexOfShards) {
  const std::string index = "model.safetensors.index.json";
  const auto with_shard = [&](const std::string& tensor, const nlohmann::json& shard) {
    return refusal("llama_gqa", index, [&](nlohmann::json& json) { json["weight_map"][tensor] = shard; });
  };
  for (const std::string name :
       {"../secret.safetensors", "/etc/x.safetensors", "a\\b.safetensors", ".safetensors", "x.bin"}) {
    EXPECT_EQ(with_shard("lm_head.weight", name),
              index + ": names the shard '" + name + "', expected the name of a .safetensors file in the same folder");
  }
  EXPECT_EQ(with_shard("lm_head.weight", 5), index + ": the shard of 'lm_head.weight' is 5, expected a file name");
  EXPECT_EQ(with_shard("lm_head.weight", "none.safetensors"),
            index + ": names the shard 'none.safetensors', which is not there");
  EXPECT_EQ(
      with_shard("lm_head.weight", "model-00001-of-00009.safetensors"),
      "model-00001-of-00009.safetensors: has no tensor 'lm_head.weight', which model.safetensors.index.json says is "
      "in it");
  EXPECT_EQ(refusal("llama_gqa", index, [](nlohmann::json& json) { json.erase("weight_map"); }),
            index + ": has no 'weight_map' object");
  EXPECT_EQ(
      full_refusal("llama_gqa", index, [](nlohmann::json& json) { json["weight_map"].erase("model.norm.weight"); }),
      "llama_gqa: tensor 'model.norm.weight' [48] is absent");
}

}  // namespace
}  // namespace hessian::tests
