#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoints/torch_shards.h"
#include "checkpoints/wrapper_prefixes.h"
#include "fixtures.h"
#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "refusal.h"
#include "torch_files.h"

using hessian::models::read_torch_shards;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES "/formats/";

std::string same_key(const std::string& name) {
  return name;
}

/// Writes the tensors of a folder as model.safetensors next to a copy of its configuration.
void write_as_safetensors(const std::string& from, const TemporaryFolder& to) {
  const auto json = nlohmann::json::parse(support::read_file(from + "/config.json"));
  const int64_t dim = json.at("hidden_size");
  const int64_t hidden = json.at("intermediate_size");
  const int64_t vocab = json.at("vocab_size");
  const int64_t kv_rows =
      dim / json.at("num_attention_heads").get<int64_t>() * json.at("num_key_value_heads").get<int64_t>();
  auto tensors = read_torch_shards(from, same_key);
  hessian::Parameters taken;
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape) {
    taken.add(name, tensors.take(name, shape));
  };
  take("model.embed_tokens.weight", {vocab, dim});
  for (int64_t layer = 0; layer < json.at("num_hidden_layers").get<int64_t>(); ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    take(prefix + "self_attn.q_proj.weight", {dim, dim});
    take(prefix + "self_attn.k_proj.weight", {kv_rows, dim});
    take(prefix + "self_attn.v_proj.weight", {kv_rows, dim});
    take(prefix + "self_attn.o_proj.weight", {dim, dim});
    take(prefix + "mlp.gate_proj.weight", {hidden, dim});
    take(prefix + "mlp.up_proj.weight", {hidden, dim});
    take(prefix + "mlp.down_proj.weight", {dim, hidden});
    take(prefix + "input_layernorm.weight", {dim});
    take(prefix + "post_attention_layernorm.weight", {dim});
  }
  take("model.norm.weight", {dim});
  take("lm_head.weight", {vocab, dim});
  tensors.refuse_rest();
  models::save_safetensors(to / "model.safetensors", taken, {});
  to.write("config.json", json.dump());
}

TEST(TorchShards, HoldTheWeightsOfTheReferenceModel) {
  for (const std::string name : {"bin", "bin_sharded"}) {
    const TemporaryFolder folder;
    ASSERT_TRUE(models::has_torch_shards(fixtures + name));
    write_as_safetensors(fixtures + name, folder);
    auto model = models::load_checkpoint(folder.path()).model;
    EXPECT_EQ(model.parameters.at("norm.weight").scalar_type(), name == "bin" ? at::kFloat : at::kBFloat16);
    model.parameters = model.parameters.to(at::kCPU, at::kDouble);
    const auto expected = models::load_safetensors(fixtures + name + "/expected.safetensors").tensors;
    const models::Forward forward(model);
    const auto residuals = support::residuals_of(forward, expected.at("tokens"));
    EXPECT_LT(support::relative_error(forward.logits(residuals.back()), expected.at("logits")), 1e-9) << name;
  }
}

TEST(TorchShards, GiveTensorsTheKeysOfTheCaller) {
  const TemporaryFolder folder;
  folder.write("pytorch_model.bin",
               support::torch_file_of({{"module._orig_mod.a", at::ones({2})}, {"b", at::ones({3})}}));
  auto tensors = read_torch_shards(
      folder.path(), [](const std::string& name) { return name == "b" ? "" : models::without_wrapper_prefixes(name); });
  EXPECT_TRUE(tensors.take("a", {2}).equal(at::ones({2})));
  EXPECT_NO_THROW(tensors.refuse_rest());
  EXPECT_FALSE(models::has_torch_shards(HESSIAN_FIXTURES "/huggingface/gpt2"));
}

TEST(TorchShards, SayWhatIsWrong) {
  const TemporaryFolder folder;
  const auto refusal = [&] {
    const std::string message = support::refusal_of([&] { read_torch_shards(folder.path(), same_key); });
    return support::without_prefix(message, folder.path()).substr(1);
  };
  const std::string index = "pytorch_model.bin.index.json";
  const auto with_map = [&](const nlohmann::json& map) {
    folder.write(index, nlohmann::json{{"weight_map", map}}.dump());
  };
  EXPECT_EQ(refusal(), " has neither pytorch_model.bin nor " + index);
  folder.write(index, "{}");
  EXPECT_EQ(refusal(), index + ": has no 'weight_map' object");
  with_map({{"a", "../x.bin"}});
  EXPECT_EQ(refusal(), index + ": names the shard '../x.bin', expected the name of a .bin file in the same folder");
  with_map({{"a", 1}});
  EXPECT_EQ(refusal(), index + ": the shard of 'a' is 1, expected a file name");
  with_map({{"a", "x.bin"}});
  EXPECT_EQ(refusal(), index + ": names the shard 'x.bin', which is not there");
  folder.write("x.bin", support::torch_file_of({{"b", at::ones({2})}}));
  EXPECT_EQ(refusal(), "x.bin: has no tensor 'a', which " + index + " says is in it");
  folder.write("x.bin", "hello");
  EXPECT_EQ(refusal(), "x.bin: is not a file of torch.save");
  support::TorchFile file;
  folder.write("pytorch_model.bin", file.bytes(support::pickled(3)));
  EXPECT_EQ(refusal(), "pytorch_model.bin: the state dict is 3, expected a dict");
}

}  // namespace
}  // namespace hessian::tests
