#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "checkpoints/huggingface_shards.h"
#include "fixtures.h"
#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "refusal.h"
#include "torch_files.h"

using hessian::models::read_huggingface_tensors;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES "/formats/";

std::string same_key(const std::string& name) {
  return name;
}

TEST(TorchShards, HoldTheWeightsOfTheReferenceModel) {
  for (const std::string name : {"bin", "bin_sharded"}) {
    auto model = models::load_checkpoint(fixtures + name).model;
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
  auto tensors = read_huggingface_tensors(folder.path(),
                                          [](const std::string& name) { return name == "b" ? "" : "key of " + name; });
  EXPECT_TRUE(tensors.take("key of a", {2}).equal(at::ones({2})));
  EXPECT_NO_THROW(tensors.refuse_rest());
}

TEST(TorchShards, SayWhatIsWrong) {
  const TemporaryFolder folder;
  const auto refusal = [&] {
    const std::string message = support::refusal_of([&] { read_huggingface_tensors(folder.path(), same_key); });
    return support::without_prefix(message, folder.path()).substr(1);
  };
  const std::string index = "pytorch_model.bin.index.json";
  const auto with_map = [&](const nlohmann::json& map) {
    folder.write(index, nlohmann::json{{"weight_map", map}}.dump());
  };
  EXPECT_EQ(refusal(),
            " has no weights: none of model.safetensors, model.safetensors.index.json, pytorch_model.bin and " + index);
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
