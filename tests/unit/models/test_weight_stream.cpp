#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "formats/safetensors.h"
#include "gpt/architecture.h"
#include "hessian/memory.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/weight_stream.h"
#include "hessian/program.h"
#include "loader_support.h"
#include "tiny_models.h"

using hessian::models::load_checkpoint;
using hessian::models::WeightAccess;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES;

/// Returns one checkpoint of each accepted format, including a sharded one.
std::vector<std::string> checkpoints() {
  return {fixtures + "/dense/llama3_simplegpt/model.safetensors",
          fixtures + "/nanogpt/ckpt.pt",
          fixtures + "/huggingface/gpt2",
          fixtures + "/huggingface/llama_gqa",
          fixtures + "/huggingface/llama_tied",
          fixtures + "/huggingface/llama_bias",
          fixtures + "/huggingface/qwen3",
          fixtures + "/huggingface/olmo2",
          fixtures + "/huggingface/gpt_neox",
          fixtures + "/huggingface/gemma3",
          fixtures + "/huggingface/phi3",
          fixtures + "/formats/meta",
          fixtures + "/formats/meta_parallel",
          fixtures + "/formats/dcp_model",
          fixtures + "/formats/dcp_sharded"};
}

/// Returns the weight names of each stage, in the order of the forward pass.
std::vector<std::vector<std::string>> parts_of(const models::GptConfig& config) {
  std::vector<std::vector<std::string>> parts;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    parts.push_back(hessian::parameter_names(models::describe_layer(config, layer).program));
  }
  parts.push_back(hessian::parameter_names(models::describe_loss(config).program));
  return parts;
}

/// Returns the resident bytes of mapped files of this process.
int64_t resident_file_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "RssFile:") {
      int64_t kibibytes = 0;
      status >> kibibytes;
      return kibibytes * 1024;
    }
  }
  throw std::runtime_error("/proc/self/status has no RssFile");
}

TEST(WeightStream, GivesTheWeightsOfEveryKindOfCheckpointInEveryPrecision) {
  for (const std::string& path : checkpoints()) {
    SCOPED_TRACE(path);
    const auto ready = load_checkpoint(path).model;
    const auto deferred = load_checkpoint(path, WeightAccess::deferred).model;
    EXPECT_FALSE(ready.parameters.any_deferred());
    ASSERT_TRUE(models::can_be_streamed(deferred, at::kCPU));
    for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
      const auto streamed = models::stream_weights(deferred, at::kCPU, dtype);
      ASSERT_EQ(streamed.size(), ready.parameters.size());
      for (const auto& [name, tensor] : ready.parameters) {
        ASSERT_TRUE(streamed.is_deferred(name));
        EXPECT_EQ(streamed.shape_of(name).sizes(), tensor.sizes());
        EXPECT_EQ(streamed.shape_of(name).scalar_type(), dtype);
        // Rounding a number once gives one result.
        EXPECT_TRUE(at::equal(streamed.fetched({name}).at(name), tensor.to(dtype))) << name;
      }
      const at::Tensor ids = at::tensor({3, 0, 3}, at::kLong);
      EXPECT_TRUE(at::equal(streamed.rows("tok_embeddings.weight", ids),
                            ready.parameters.at("tok_embeddings.weight").to(dtype).index_select(0, ids)));
    }
  }
}

TEST(WeightStream, ReturnsTheRequestedWeightsWhateverWasAnnounced) {
  const auto model = load_checkpoint(fixtures + "/huggingface/llama_gqa", WeightAccess::deferred).model;
  const auto ready = load_checkpoint(fixtures + "/huggingface/llama_gqa").model.parameters.to(at::kCPU, at::kFloat);
  const auto streamed = models::stream_weights(model, at::kCPU, at::kFloat);
  const auto parts = parts_of(model.config);
  const auto expect = [&](std::size_t part, std::size_t announced) {
    const auto fetched = streamed.fetched(parts[part], parts[announced]);
    for (const std::string& name : parts[part]) {
      EXPECT_TRUE(at::equal(fetched.at(name), ready.at(name))) << name;
    }
  };
  expect(0, 1);
  expect(1, 0);  // as announced
  expect(1, 1);  // different from what was announced
  expect(1, 0);
}

TEST(WeightStream, HoldsAtMostTheBytesThatItReports) {
  models::GptConfig config = support::tiny_config(models::Family::llama2, models::Placement::prenorm);
  config.dim = 64;
  config.head_dim = 16;
  config.ffn_hidden_dim = 128;
  config.n_layers = 6;
  const support::TemporaryFolder folder;
  const models::Model fresh = models::initialise_model(config, 1);
  models::save_checkpoint({config, fresh.parameters.to(at::kCPU, at::kBFloat16)}, folder / "m.safetensors", 0);
  EXPECT_FALSE(models::can_be_streamed(fresh, at::kCPU));
  const auto model = load_checkpoint(folder / "m.safetensors", WeightAccess::deferred).model;
  const auto parts = parts_of(config);
  const hessian::MemoryScope scope;
  const auto streamed = models::stream_weights(model, at::kCPU, at::kFloat);
  for (std::size_t part = 0; part < parts.size(); ++part) {
    streamed.fetched(parts[part], parts[std::min(part + 1, parts.size() - 1)]);
  }
  const int64_t limit = models::streamed_bytes(model, at::kFloat);
  // Two layers are held: one that was fetched, and the next. Allocations count in multiples of 64 bytes.
  EXPECT_LE(scope.peak_bytes(), limit + limit / 50);
  EXPECT_GE(scope.peak_bytes(), limit / 3);
  EXPECT_LT(limit, models::weight_bytes(model, at::kFloat) / 2);
}

TEST(WeightStream, ReleasesThePagesOfTheFile) {
  constexpr int64_t mebibyte = 1 << 20;
  models::GptConfig config = support::tiny_config(models::Family::llama2, models::Placement::prenorm);
  config.vocab_size = mebibyte;  // 16 MiB each for the embedding and the head in bfloat16
  const support::TemporaryFolder folder;
  models::save_checkpoint({config, models::initialise_model(config, 1).parameters.to(at::kCPU, at::kBFloat16)},
                          folder / "m.safetensors", 0);
  const int64_t before = resident_file_bytes();
  const auto model = load_checkpoint(folder / "m.safetensors", WeightAccess::deferred).model;  // looks at every weight
  EXPECT_LT(resident_file_bytes() - before, 4 * mebibyte);
  const auto streamed = models::stream_weights(model, at::kCPU, at::kFloat);
  const auto head = streamed.fetched({"output.weight"});
  streamed.rows("tok_embeddings.weight", at::arange(0, mebibyte, 100, at::kLong));
  EXPECT_LT(resident_file_bytes() - before, 4 * mebibyte);
  // If they were kept, they would be resident.
  EXPECT_GT(model.parameters.at("output.weight").abs().max().item<double>(), 0);
  EXPECT_GT(resident_file_bytes() - before, 12 * mebibyte);
}

}  // namespace
}  // namespace hessian::tests
