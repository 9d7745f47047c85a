#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "checkpoints/llama2c_checkpoint.h"
#include "fixtures.h"
#include "hessian/models/checkpoint.h"
#include "refusal.h"
#include "torch_files.h"

using hessian::support::pickled;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string meta = HESSIAN_FIXTURES "/formats/meta";

/// Returns the weights of the fixture in Meta's form, which llama2.c's names are those of.
support::Tensors meta_weights() {
  const auto parameters = models::load_checkpoint(meta).model.parameters;
  return {parameters.begin(), parameters.end()};
}

/// Returns the model arguments of that fixture, as llama2.c stores them. RoPE's base is not among them: it is 10000.
support::PickledEntries arguments() {
  return {{"dim", pickled(32)},         {"n_layers", pickled(2)},     {"n_heads", pickled(4)},
          {"n_kv_heads", pickled(2)},   {"vocab_size", pickled(96)},  {"multiple_of", pickled(16)},
          {"hidden_dim", pickled(112)}, {"max_seq_len", pickled(64)}, {"dropout", support::pickled_real(0)}};
}

std::string write_checkpoint(const TemporaryFolder& folder, const support::Tensors& weights,
                             const support::PickledEntries& model_arguments) {
  support::TorchFile file;
  const std::string state = file.state_dict(weights);
  return folder.write(
      "ckpt.pt",
      file.bytes(support::pickled_dict(
          {{"model", state}, {"model_args", support::pickled_dict(model_arguments)}, {"iter_num", pickled(9)}})));
}

std::string refusal(const support::Tensors& weights, const support::PickledEntries& model_arguments) {
  const TemporaryFolder folder;
  const std::string path = write_checkpoint(folder, weights, model_arguments);
  return support::refusal_about(path, [&] { models::load_checkpoint(path); });
}

TEST(Llama2cCheckpoint, HasTheArchitectureAndTheWeightsOfTheFile) {
  const TemporaryFolder folder;
  const auto weights = meta_weights();
  const auto path = write_checkpoint(folder, weights, arguments());
  const auto [model, step, description] = models::load_checkpoint(path);
  EXPECT_EQ(description, "llama2.c checkpoint");
  EXPECT_EQ(step, 9);
  auto expected = models::load_checkpoint(meta).model.config;
  expected.family = models::Family::llama2;
  expected.rope_theta = 10000;
  expected.max_seq_len = 64;
  EXPECT_EQ(model.config, expected);
  for (const auto access : {models::WeightAccess::ready, models::WeightAccess::deferred}) {
    const auto parameters = models::load_llama2c_checkpoint(path, access).model.parameters.to(at::kCPU, at::kBFloat16);
    for (const auto& [name, tensor] : weights) {
      EXPECT_TRUE(parameters.at(name).equal(tensor)) << name;
    }
  }
}

// With the base of the fixture, which llama2.c's file cannot hold, the model gives the reference logits.
TEST(Llama2cCheckpoint, GivesTheReferenceLogits) {
  const TemporaryFolder folder;
  auto model = models::load_checkpoint(write_checkpoint(folder, meta_weights(), arguments())).model;
  model.config.rope_theta = 500000;
  model.parameters = model.parameters.to(at::kCPU, at::kDouble);
  const auto expected = models::load_safetensors(meta + "/expected.safetensors").tensors;
  const models::Forward forward(model);
  const auto residuals = support::residuals_of(forward, expected.at("tokens"));
  EXPECT_LT(support::relative_error(forward.logits(residuals.back()), expected.at("logits")), 1e-9);
}

TEST(Llama2cCheckpoint, IgnoresPrefixesAndTables) {
  const TemporaryFolder folder;
  support::Tensors prefixed = {{"_orig_mod.freqs_cos", at::ones({8, 4})}, {"_orig_mod.freqs_sin", at::ones({8, 4})}};
  for (const auto& [name, tensor] : meta_weights()) {
    prefixed["_orig_mod." + name] = tensor;
  }
  EXPECT_NO_THROW(models::load_checkpoint(write_checkpoint(folder, prefixed, arguments())));
}

TEST(Llama2cCheckpoint, HasATiedHeadIfItIsAbsentOrEqualsTheEmbedding) {
  const TemporaryFolder folder;
  auto weights = meta_weights();
  EXPECT_FALSE(models::load_checkpoint(write_checkpoint(folder, weights, arguments())).model.config.tied_head);
  weights["output.weight"] = weights["tok_embeddings.weight"].clone();
  EXPECT_TRUE(models::load_checkpoint(write_checkpoint(folder, weights, arguments())).model.config.tied_head);
  weights.erase("output.weight");
  const auto model = models::load_checkpoint(write_checkpoint(folder, weights, arguments())).model;
  EXPECT_TRUE(model.config.tied_head);
  EXPECT_FALSE(model.parameters.contains("output.weight"));
}

TEST(Llama2cCheckpoint, HasTheDefaultsOfTheCode) {
  const TemporaryFolder folder;
  // Without hidden_dim, 2/3 of 4 dim, rounded up to a multiple of 256; n_kv_heads may be None.
  const support::PickledEntries few = {
      {"dim", pickled(32)}, {"n_layers", pickled(1)}, {"n_heads", pickled(4)}, {"n_kv_heads", "N"}};
  support::Tensors weights;
  models::GptConfig config = models::load_checkpoint(meta).model.config;
  config.n_layers = 1;
  config.n_kv_heads = 4;
  config.ffn_hidden_dim = 256;
  config.vocab_size = 32000;
  for (const auto& spec : models::parameter_specs(config)) {
    weights[spec.name] = at::ones(spec.shape);
  }
  weights["output.weight"].mul_(2);
  const auto loaded = models::load_checkpoint(write_checkpoint(folder, weights, few)).model.config;
  EXPECT_EQ(loaded.n_kv_heads, 4);
  EXPECT_EQ(loaded.ffn_hidden_dim, 256);
  EXPECT_EQ(loaded.max_seq_len, 2048);
  EXPECT_EQ(loaded.norm_eps, 1e-5);
}

TEST(Llama2cCheckpoint, KeepsItsWeightsWhenTheFileIsOverwritten) {
  const TemporaryFolder folder;
  const auto path = write_checkpoint(folder, meta_weights(), arguments());
  const auto model = models::load_checkpoint(path).model;
  const at::Tensor before = model.parameters.at("norm.weight").clone();
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      << std::string(std::filesystem::file_size(path), 'x');
  EXPECT_TRUE(model.parameters.at("norm.weight").equal(before));
}

TEST(Llama2cCheckpoint, NamesWhatIsWrong) {
  auto weights = meta_weights();
  weights.erase("layers.1.feed_forward.w3.weight");
  EXPECT_EQ(refusal(weights, arguments()), "tensor 'layers.1.feed_forward.w3.weight' [112, 32] is absent");
  weights = meta_weights();
  weights["layers.0.attention.wk.weight"] = at::ones({32, 32});
  EXPECT_EQ(refusal(weights, arguments()), "tensor 'layers.0.attention.wk.weight' is [32, 32], expected [16, 32]");
  weights = meta_weights();
  weights["layers.0.attention.wk.bias"] = at::ones({16});
  EXPECT_EQ(refusal(weights, arguments()), "tensor 'layers.0.attention.wk.bias' [16] is not part of this architecture");
  weights = meta_weights();
  weights["norm.weight"] = at::ones({32}, at::kLong);
  EXPECT_EQ(refusal(weights, arguments()), "tensor 'norm.weight' [32] holds I64, expected floating-point numbers");
  weights = meta_weights();
  weights["_orig_mod.norm.weight"] = at::ones({32});
  EXPECT_EQ(refusal(weights, arguments()), "tensors '_orig_mod.norm.weight' and 'norm.weight' are one and the same");
  EXPECT_EQ(refusal({}, arguments()), "tensor 'tok_embeddings.weight' is absent");

  auto changed = arguments();
  changed[2].second = pickled(5);
  EXPECT_EQ(refusal(meta_weights(), changed), "model_args 'n_heads' is 5, which does not divide 'dim' 32");
  changed[2].second = pickled("four");
  EXPECT_EQ(refusal(meta_weights(), changed), "model_args 'n_heads' is the string 'four', expected a positive integer");
  changed[2].second = pickled(4);
  changed.emplace_back("norm_eps", pickled("small"));
  EXPECT_EQ(refusal(meta_weights(), changed), "model_args 'norm_eps' is the string 'small', expected a number");
}

}  // namespace
}  // namespace hessian::tests
