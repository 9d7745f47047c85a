#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "checkpoints/huggingface.h"
#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::load_huggingface_model;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES "/huggingface/";

Parameters tensors_of(const std::string& name) {
  return models::load_safetensors(fixtures + name + "/model.safetensors").tensors;
}

/// A copy of a fixture's folder whose tensors are changed by `change(tensors)`.
class ChangedFixture {
 public:
  template <class Change>
  ChangedFixture(const std::string& name, const Change& change) : path_(folder_ / name) {
    std::filesystem::copy(fixtures + name, path_);
    support::write_changed(fixtures + name + "/model.safetensors", path_ + "/model.safetensors",
                           [&](support::Tensors& tensors, support::Metadata&) { change(tensors); });
  }

  const std::string& path() const { return path_; }
  models::Model load() const { return load_huggingface_model(path_); }
  /// Returns the message with which the folder is refused, starting with the folder's or the file's name.
  std::string refusal() const {
    return support::without_prefix(support::refusal_of([&] { load(); }), folder_.path() + "/");
  }

 private:
  TemporaryFolder folder_;
  std::string path_;
};

/// Returns the row of the file from which row `row` of interleaved heads comes.
int64_t source_row(int64_t row, int64_t head_dim, int64_t rotated) {
  const int64_t inside = row % head_dim;
  return inside < rotated ? row - inside + inside / 2 + (inside % 2) * (rotated / 2) : row;
}

void expect_interleaved(const at::Tensor& loaded, const at::Tensor& raw, int64_t head_dim, int64_t rotated) {
  ASSERT_EQ(loaded.sizes(), raw.sizes());
  for (int64_t row = 0; row < raw.size(0); ++row) {
    EXPECT_TRUE(loaded[row].equal(raw[source_row(row, head_dim, rotated)])) << row;
  }
}

using Names = std::vector<std::pair<std::string, std::string>>;

/// Expects tensors of layer 1 to be those of the file under other names.
void expect_names(const std::string& fixture, const Names& names) {
  const auto model = load_huggingface_model(fixtures + fixture);
  const auto raw = tensors_of(fixture);
  for (const auto& [ours, theirs] : names) {
    EXPECT_TRUE(model.parameters.at("layers.1." + ours).equal(raw.at("model.layers.1." + theirs))) << ours;
  }
}

TEST(HuggingFaceWeights, OfLlamaIncludeTheBiases) {
  expect_names("llama_bias", {{"attention.wv.bias", "self_attn.v_proj.bias"},
                              {"attention.wo.bias", "self_attn.o_proj.bias"},
                              {"feed_forward.w1.bias", "mlp.gate_proj.bias"},
                              {"feed_forward.w2.bias", "mlp.down_proj.bias"},
                              {"feed_forward.w3.bias", "mlp.up_proj.bias"}});
  const auto model = load_huggingface_model(fixtures + "llama_bias");
  const auto raw = tensors_of("llama_bias");
  expect_interleaved(model.parameters.at("layers.1.attention.wq.bias"), raw.at("model.layers.1.self_attn.q_proj.bias"),
                     8, 8);
  expect_interleaved(model.parameters.at("layers.1.attention.wk.bias"), raw.at("model.layers.1.self_attn.k_proj.bias"),
                     8, 8);
}

TEST(HuggingFaceWeights, OfGemmaHaveNormsAroundBothBranches) {
  for (const std::string name : {"gemma2", "gemma3"}) {
    expect_names(name, {{"attention_norm.weight", "input_layernorm.weight"},
                        {"attention_post_norm.weight", "post_attention_layernorm.weight"},
                        {"ffn_norm.weight", "pre_feedforward_layernorm.weight"},
                        {"ffn_post_norm.weight", "post_feedforward_layernorm.weight"}});
  }
}

TEST(HuggingFaceWeights, OfOlmo2HaveNormsAfterBothBranches) {
  expect_names("olmo2", {{"attention_post_norm.weight", "post_attention_layernorm.weight"},
                         {"ffn_post_norm.weight", "post_feedforward_layernorm.weight"}});
}

// The entries of a norm's gain belong to those of queries and keys, which are permuted.
TEST(HuggingFaceWeights, PermuteTheGainsOfQueryAndKeyNorms) {
  for (const auto& [name, head_dim] : {std::pair("qwen3", 10), std::pair("gemma3", 12), std::pair("olmo2", 8)}) {
    SCOPED_TRACE(name);
    const auto model = load_huggingface_model(fixtures + name);
    const auto raw = tensors_of(name);
    for (const std::string norm : {"q_norm.weight", "k_norm.weight"}) {
      expect_interleaved(model.parameters.at("layers.1.attention." + norm), raw.at("model.layers.1.self_attn." + norm),
                         head_dim, head_dim);
    }
  }
}

TEST(HuggingFaceWeights, OfPhi3AreTakenFromStackedMaps) {
  const auto model = load_huggingface_model(fixtures + "phi3");
  const auto raw = tensors_of("phi3");
  const at::Tensor qkv = raw.at("model.layers.1.self_attn.qkv_proj.weight");  // 32 + 16 + 16 rows
  const auto loaded = [&](const std::string& name) { return model.parameters.at("layers.1." + name + ".weight"); };
  expect_interleaved(loaded("attention.wq"), qkv.slice(0, 0, 32), 8, 8);
  expect_interleaved(loaded("attention.wk"), qkv.slice(0, 32, 48), 8, 8);
  EXPECT_TRUE(loaded("attention.wv").equal(qkv.slice(0, 48, 64)));
  const at::Tensor gate_up = raw.at("model.layers.1.mlp.gate_up_proj.weight");
  EXPECT_TRUE(loaded("feed_forward.w1").equal(gate_up.slice(0, 0, 56)));
  EXPECT_TRUE(loaded("feed_forward.w3").equal(gate_up.slice(0, 56, 112)));
}

TEST(HuggingFaceWeights, OfGptNeoxAreStackedPerHeadAndRotateAShareOfEach) {
  const auto model = load_huggingface_model(fixtures + "gpt_neox");  // 2 heads of 16, of which 4 entries are rotated
  const auto raw = tensors_of("gpt_neox");
  for (const std::string ending : {"weight", "bias"}) {
    const at::Tensor stacked = raw.at("gpt_neox.layers.1.attention.query_key_value." + ending);
    // Head h has its queries at row 48 h, its keys 16 rows later, its values 32 rows later.
    const auto rows = [&](int64_t offset) {
      return at::cat({stacked.slice(0, offset, offset + 16), stacked.slice(0, 48 + offset, 64 + offset)});
    };
    const auto loaded = [&](const std::string& map) {
      return model.parameters.at("layers.1.attention." + map + "." + ending);
    };
    expect_interleaved(loaded("wq"), rows(0), 16, 4);
    expect_interleaved(loaded("wk"), rows(16), 16, 4);
    EXPECT_TRUE(loaded("wv").equal(rows(32)));
    EXPECT_TRUE(loaded("wo").equal(raw.at("gpt_neox.layers.1.attention.dense." + ending)));
    EXPECT_TRUE(model.parameters.at("layers.1.feed_forward.w1." + ending)
                    .equal(raw.at("gpt_neox.layers.1.mlp.dense_h_to_4h." + ending)));
    EXPECT_TRUE(model.parameters.at("layers.1.ffn_norm." + ending)
                    .equal(raw.at("gpt_neox.layers.1.post_attention_layernorm." + ending)));
    EXPECT_TRUE(model.parameters.at("norm." + ending).equal(raw.at("gpt_neox.final_layer_norm." + ending)));
  }
}

TEST(HuggingFaceWeights, AreTheSameWithBuffersAndOldNames) {
  const ChangedFixture neox("gpt_neox", [](support::Tensors& tensors) {
    tensors["gpt_neox.layers.0.attention.bias"] = at::ones({1, 1, 4, 4}, at::kByte);
    tensors["gpt_neox.layers.0.attention.masked_bias"] = at::scalar_tensor(-1e9);
    tensors["gpt_neox.layers.0.attention.rotary_emb.inv_freq"] = at::ones({2});
    tensors["embed_out.weight"] = tensors.at("lm_head.weight");  // before transformers 5
    tensors.erase("lm_head.weight");
  });
  const ChangedFixture mistral("mistral", [](support::Tensors& tensors) {
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = at::ones({4});
  });
  for (const auto& [changed, name] : {std::pair(&neox, "gpt_neox"), std::pair(&mistral, "mistral")}) {
    const auto expected = load_huggingface_model(fixtures + name);
    const auto model = changed->load();
    ASSERT_EQ(model.parameters.size(), expected.parameters.size());
    for (const auto& [parameter, tensor] : expected.parameters) {
      EXPECT_TRUE(model.parameters.at(parameter).equal(tensor)) << parameter;
    }
  }
}

// Without rotation there is nothing to interleave: the tiny Llama of 2 layers becomes a SmolLM3 that rotates the first.
TEST(HuggingFaceWeights, OfLayersWithoutRotationStayAsTheyAre) {
  const TemporaryFolder folder;
  std::filesystem::copy(fixtures + "llama_bias", folder / "model");
  auto config = nlohmann::json::parse(support::read_file(folder / "model/config.json"));
  config["architectures"] = {"SmolLM3ForCausalLM"};
  config["no_rope_layers"] = {1, 0};
  folder.write("model/config.json", config.dump());
  const auto model = load_huggingface_model(folder / "model");
  const auto raw = tensors_of("llama_bias");
  EXPECT_EQ(model.config.family, models::Family::smollm3);
  for (const std::string ending : {"weight", "bias"}) {
    expect_interleaved(model.parameters.at("layers.0.attention.wq." + ending),
                       raw.at("model.layers.0.self_attn.q_proj." + ending), 8, 8);
    EXPECT_TRUE(model.parameters.at("layers.1.attention.wq." + ending)
                    .equal(raw.at("model.layers.1.self_attn.q_proj." + ending)));
  }
}

TEST(HuggingFaceWeights, MustAllBeThere) {
  const std::vector<std::pair<std::string, std::string>> missing = {
      {"llama_bias", "model.layers.1.mlp.gate_proj.bias"},
      {"qwen2", "model.layers.1.self_attn.q_proj.bias"},
      {"qwen3", "model.layers.0.self_attn.k_norm.weight"},
      {"olmo2", "model.layers.0.post_feedforward_layernorm.weight"},
      {"gemma2", "model.layers.2.pre_feedforward_layernorm.weight"},
      {"phi3", "model.layers.0.self_attn.qkv_proj.weight"},
      {"gpt_neox", "gpt_neox.layers.0.attention.query_key_value.bias"},
      {"mistral", "lm_head.weight"}};
  for (const auto& [name, tensor] : missing) {
    std::string shape;
    const ChangedFixture changed(name, [&, tensor = tensor](support::Tensors& tensors) {
      for (const int64_t size : tensors.at(tensor).sizes()) {
        shape += (shape.empty() ? "" : ", ") + std::to_string(size);
      }
      tensors.erase(tensor);
    });
    EXPECT_EQ(changed.refusal(), std::string(name) + ": tensor '" + tensor + "' [" + shape + "] is absent");
  }
}

TEST(HuggingFaceWeights, MustHaveTheirShapes) {
  const auto refusal = [](const std::string& name, const std::string& tensor, at::IntArrayRef shape) {
    const ChangedFixture changed(name, [&](support::Tensors& tensors) { tensors[tensor] = at::ones(shape); });
    return support::without_prefix(changed.refusal(), name + "/model.safetensors: tensor '" + tensor + "' ");
  };
  EXPECT_EQ(refusal("phi3", "model.layers.0.self_attn.qkv_proj.weight", {96, 32}), "is [96, 32], expected [64, 32]");
  EXPECT_EQ(refusal("phi3", "model.layers.0.mlp.gate_up_proj.weight", {56, 32}), "is [56, 32], expected [112, 32]");
  EXPECT_EQ(refusal("gpt_neox", "gpt_neox.layers.0.attention.query_key_value.weight", {32, 32}),
            "is [32, 32], expected [96, 32]");
  EXPECT_EQ(refusal("qwen3", "model.layers.0.self_attn.q_norm.weight", {40}), "is [40], expected [10]");
  EXPECT_EQ(refusal("olmo2", "model.layers.0.self_attn.q_norm.weight", {8}), "is [8], expected [32]");
  EXPECT_EQ(refusal("qwen2", "model.layers.0.self_attn.k_proj.bias", {32}), "is [32], expected [16]");
  EXPECT_EQ(refusal("mistral", "model.layers.0.self_attn.q_proj.bias", {32}), "[32] is not part of this architecture");
  EXPECT_EQ(refusal("gemma2", "lm_head.weight", {97, 24}),
            "differs from the token embedding, to which it should be tied");
}

// What hessian-probe prints about a model.
TEST(HuggingFaceWeights, AreDescribedByTheirArchitecture) {
  for (const auto& [name, architecture] :
       {std::pair("gemma3", "Gemma3ForCausalLM"), std::pair("gpt_neox", "GPTNeoXForCausalLM"),
        std::pair("llama31", "LlamaForCausalLM"), std::pair("gpt2", "GPT2LMHeadModel")}) {
    EXPECT_EQ(models::load_checkpoint(fixtures + name).description, std::string("Hugging Face ") + architecture);
  }
}

}  // namespace
}  // namespace hessian::tests
