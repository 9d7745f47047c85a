#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoints/meta_checkpoint.h"
#include "formats/torch_checkpoint.h"
#include "hessian/models/checkpoint.h"
#include "refusal.h"
#include "torch_files.h"

using hessian::models::load_meta_model;
using hessian::models::WeightAccess;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string single = HESSIAN_FIXTURES "/formats/meta";
const std::string parallel = HESSIAN_FIXTURES "/formats/meta_parallel";

support::Tensors tensors_of(const std::string& path) {
  const auto checkpoint = models::TorchCheckpoint::open(path);
  const auto tensors = checkpoint.state_dict(checkpoint.values().root());
  return {tensors.begin(), tensors.end()};
}

nlohmann::json params() {
  return nlohmann::json::parse(support::read_file(single + "/params.json"));
}

/// A release that a test changes before it is written.
struct Release {
  nlohmann::json json = params();
  std::vector<support::Tensors> shards = {tensors_of(parallel + "/consolidated.00.pth"),
                                          tensors_of(parallel + "/consolidated.01.pth")};

  void write(const TemporaryFolder& folder) const {
    folder.write("params.json", json.dump());
    for (std::size_t index = 0; index < shards.size(); ++index) {
      folder.write("consolidated.0" + std::to_string(index) + ".pth", support::torch_file_of(shards[index]));
    }
  }

  std::string refusal() const {
    const TemporaryFolder folder;
    write(folder);
    const std::string message = support::refusal_of([&] { models::load_checkpoint(folder.path()); });
    return message.substr(folder.path().size() + 1);
  }

  std::string refusal_with(const char* key, const nlohmann::json& value) {
    json = params();
    json[key] = value;
    return refusal();
  }
};

/// Returns the weights of the two shards, joined without the loader.
support::Tensors joined_weights() {
  const Release release;
  support::Tensors joined;
  for (const auto& [name, first] : release.shards[0]) {
    const at::Tensor& second = release.shards[1].at(name);
    const bool by_columns = name.ends_with(".wo.weight") || name.ends_with(".w2.weight");
    joined[name] = first.dim() == 1 ? first : at::cat({first, second}, by_columns ? 1 : 0);
  }
  return joined;
}

void expect_weights(const hessian::Parameters& actual, const support::Tensors& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    EXPECT_TRUE(actual.at(name).equal(tensor)) << name;
  }
}

TEST(MetaCheckpoint, HasTheArchitectureAndTheWeightsOfTheRelease) {
  const auto model = load_meta_model(single);
  EXPECT_EQ(model.config.family, models::Family::llama3);
  EXPECT_EQ(model.config.placement, models::Placement::prenorm);
  EXPECT_EQ(model.config.n_kv_heads, 2);
  EXPECT_EQ(model.config.head_dim, 8);
  EXPECT_EQ(model.config.ffn_hidden_dim, 112);
  EXPECT_EQ(model.config.vocab_size, 96);
  EXPECT_EQ(model.config.rope_theta, 500000);
  EXPECT_FALSE(model.config.tied_head);
  expect_weights(model.parameters, tensors_of(single + "/consolidated.00.pth"));
  EXPECT_EQ(load_meta_model(parallel).config, model.config);
}

TEST(MetaCheckpoint, JoinsShards) {
  expect_weights(load_meta_model(parallel).parameters, joined_weights());
}

TEST(MetaCheckpoint, StreamsTheWeightsOfShards) {
  const auto deferred = load_meta_model(parallel, WeightAccess::deferred).parameters;
  EXPECT_TRUE(deferred.is_deferred("layers.0.attention.wo.weight"));
  EXPECT_TRUE(deferred.is_deferred("tok_embeddings.weight"));
  const auto whole = joined_weights();
  expect_weights(deferred.to(at::kCPU, at::kBFloat16), whole);
  const at::Tensor ids = at::tensor({95, 0, 47, 48, 95, 3}, at::kLong).view({2, 3});
  EXPECT_TRUE(deferred.rows("tok_embeddings.weight", ids).equal(at::embedding(whole.at("tok_embeddings.weight"), ids)));
}

// Llama 1 and 2 divide the embedding by columns.
TEST(MetaCheckpoint, JoinsEmbeddingsByColumns) {
  const TemporaryFolder folder;
  Release release;
  const auto whole = joined_weights();
  for (std::size_t index = 0; index < 2; ++index) {
    release.shards[index]["tok_embeddings.weight"] =
        whole.at("tok_embeddings.weight").narrow(1, static_cast<int64_t>(index) * 16, 16).contiguous();
    release.shards[index]["rope.freqs"] = at::ones({4});
  }
  release.json["vocab_size"] = -1;
  release.write(folder);
  for (const auto access : {WeightAccess::ready, WeightAccess::deferred}) {
    const auto model = load_meta_model(folder.path(), access);
    EXPECT_EQ(model.config.vocab_size, 96);
    expect_weights(model.parameters.to(at::kCPU, at::kBFloat16), whole);
    const at::Tensor ids = at::tensor({95, 0}, at::kLong);
    EXPECT_TRUE(model.parameters.rows("tok_embeddings.weight", ids)
                    .equal(whole.at("tok_embeddings.weight").index_select(0, ids)));
  }
}

TEST(MetaCheckpoint, HasTheDefaultsOfTheCode) {
  const TemporaryFolder folder;
  Release release;
  release.shards = {tensors_of(single + "/consolidated.00.pth")};
  release.json.erase("rope_theta");
  release.json.erase("vocab_size");
  release.json["norm_eps"] = 1e-6;
  release.shards[0]["output.weight"] = release.shards[0]["tok_embeddings.weight"].clone();
  release.write(folder);
  const auto config = load_meta_model(folder.path()).config;
  EXPECT_EQ(config.family, models::Family::llama2);
  EXPECT_EQ(config.rope_theta, 10000);
  EXPECT_EQ(config.vocab_size, 96);
  EXPECT_EQ(config.norm_eps, 1e-6);
  EXPECT_TRUE(config.tied_head);
}

TEST(MetaCheckpoint, ScalesRopeAsLlama31AndRefusesToGuessTheFactorOfLlama32) {
  const TemporaryFolder folder;
  Release release;
  release.json["use_scaled_rope"] = true;
  release.write(folder);
  const auto config = load_meta_model(folder.path()).config;
  EXPECT_EQ(config.rope_scaling.type, models::RopeType::llama3);
  EXPECT_EQ(config.rope_scaling.factor, 8);
  EXPECT_EQ(config.rope_scaling.low_freq_factor, 1);
  EXPECT_EQ(config.rope_scaling.high_freq_factor, 4);
  EXPECT_EQ(config.rope_scaling.original_max_seq_len, 8192);
  for (auto& shard : release.shards) {
    shard.erase("output.weight");
  }
  EXPECT_EQ(release.refusal(),
            "params.json: 'use_scaled_rope' is true and the head is tied, as in Llama 3.2, whose factor is not in this "
            "file; add \"rope_scaling_factor\": 32");
  release.json["rope_scaling_factor"] = 32;
  release.write(folder);
  EXPECT_EQ(load_meta_model(folder.path()).config.rope_scaling.factor, 32);
}

TEST(MetaCheckpoint, SaysWhatIsWrongWithTheParameters) {
  Release release;
  EXPECT_EQ(release.refusal_with("n_heads", 3), "params.json: 'n_heads' is 3, which does not divide 'dim' 32");
  EXPECT_EQ(release.refusal_with("n_layers", "two"), "params.json: 'n_layers' is \"two\", expected a positive integer");
  EXPECT_EQ(release.refusal_with("dim", -1), "params.json: 'dim' is -1, expected a positive integer");
  EXPECT_EQ(release.refusal_with("rope_theta", "big"), "params.json: 'rope_theta' is \"big\", expected a number");
  EXPECT_EQ(release.refusal_with("ffn_dim_multiplier", 0),
            "params.json: 'ffn_dim_multiplier' is 0, expected a positive number");
  EXPECT_EQ(release.refusal_with("sliding_window", 4096),
            "params.json: 'sliding_window' is 4096, which is not computed here");
  EXPECT_EQ(release.refusal_with("use_scaled_rope", 1), "params.json: 'use_scaled_rope' is 1, expected true or false");
  release.json = params();
  release.json.erase("dim");
  EXPECT_EQ(release.refusal(), "params.json: has no 'dim'");
}

TEST(MetaCheckpoint, NoticesMissingAndRepeatedShards) {
  const std::string wq = "layers.0.attention.wq.weight";
  Release release;
  release.shards.pop_back();
  EXPECT_EQ(release.refusal(),
            " has 1 files consolidated.NN.pth, expected 2: tensor '" + wq + "' has 16 of 32 rows in each");
  release = {};
  release.shards[1] = release.shards[0];
  EXPECT_EQ(release.refusal(),
            "consolidated.01.pth: holds the same weights as consolidated.00.pth, expected another shard");
  release = {};
  release.shards.push_back(release.shards[0]);
  EXPECT_EQ(release.refusal(),
            " has 3 files consolidated.NN.pth, expected 2: tensor '" + wq + "' has 16 of 32 rows in each");

  const TemporaryFolder folder;
  folder.write("params.json", params().dump());
  const auto refusal = [&] { return support::refusal_about(folder.path(), [&] { load_meta_model(folder.path()); }); };
  EXPECT_EQ(refusal(), "has params.json, but no consolidated.00.pth");
  std::filesystem::copy(parallel + "/consolidated.00.pth", folder / "consolidated.00.pth");
  std::filesystem::copy(parallel + "/consolidated.01.pth", folder / "consolidated.02.pth");
  EXPECT_EQ(refusal(), "has 2 files consolidated.NN.pth, but no consolidated.01.pth");
}

TEST(MetaCheckpoint, ComparesShardsWithEachOther) {
  const std::string norm = "layers.1.ffn_norm.weight";
  Release release;
  release.shards[1][norm] = release.shards[1][norm] + 1;
  EXPECT_EQ(release.refusal(), "consolidated.01.pth: tensor '" + norm + "' differs from that in consolidated.00.pth");
  release = {};
  release.shards[1].erase(norm);
  EXPECT_EQ(release.refusal(), "consolidated.01.pth: has no tensor '" + norm + "', which consolidated.00.pth has");
  release = {};
  release.shards[1]["stray"] = at::ones({2});
  EXPECT_EQ(release.refusal(), "consolidated.01.pth: has a tensor 'stray', which consolidated.00.pth has not");
  release = {};
  release.shards[1]["layers.0.attention.wo.weight"] = at::ones({32, 8}, at::kBFloat16);
  EXPECT_EQ(release.refusal(),
            "consolidated.01.pth: tensor 'layers.0.attention.wo.weight' is BF16 [32, 8], expected BF16 [32, 16] as in "
            "consolidated.00.pth");
  release = {};
  for (const std::string name : {"output.weight", "norm.weight", "layers.0.attention.wq.weight"}) {
    release = {};
    release.shards[1][name] = release.shards[1][name].to(at::kFloat);
    EXPECT_TRUE(release.refusal().starts_with("consolidated.01.pth: tensor '" + name + "' is F32 [")) << name;
  }
}

TEST(MetaCheckpoint, NamesTheTensorThatIsWrong) {
  Release release;
  for (auto& shard : release.shards) {
    shard["layers.1.feed_forward.w2.weight"] = shard["layers.1.feed_forward.w2.weight"].narrow(1, 0, 40).contiguous();
  }
  EXPECT_EQ(release.refusal(), " tensor 'layers.1.feed_forward.w2.weight' is [32, 80], expected [32, 112]");
  release = {};
  for (auto& shard : release.shards) {
    shard.erase("norm.weight");
  }
  EXPECT_EQ(release.refusal(), " tensor 'norm.weight' [32] is absent");
  release = {};
  for (auto& shard : release.shards) {
    shard["layers.0.attention.wq.bias"] = at::ones({32});
  }
  EXPECT_EQ(release.refusal(), " tensor 'layers.0.attention.wq.bias' [32] is not part of this architecture");
}

TEST(MetaCheckpoint, RefusesDamagedFilesInOneLine) {
  const TemporaryFolder folder;
  const std::string whole = support::read_file(parallel + "/consolidated.01.pth");
  std::filesystem::copy(parallel + "/params.json", folder / "params.json");
  std::filesystem::copy(parallel + "/consolidated.00.pth", folder / "consolidated.00.pth");
  for (std::size_t share = 0; share < 20; ++share) {
    folder.write("consolidated.01.pth", whole.substr(0, 1 + whole.size() * share / 20));
    EXPECT_TRUE(
        support::refusal_of([&] { load_meta_model(folder.path()); }).starts_with(folder / "consolidated.01.pth"));
  }
}

}  // namespace
}  // namespace hessian::tests
