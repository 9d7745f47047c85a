#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <ostream>
#include <string>

#include "checkpoints/gguf_checkpoint.h"
#include "fixtures.h"
#include "formats/mapped_tensor.h"
#include "formats/safetensors.h"
#include "gguf_support.h"
#include "hessian/models/weight_stream.h"
#include "refusal.h"

using hessian::models::load_gguf_model;
using hessian::models::WeightAccess;
using hessian::support::Fixture;
using hessian::support::fixture_path;
using hessian::support::GgufWriter;
using hessian::support::refusal_about;
using hessian::support::relative_error;
using hessian::support::TemporaryFolder;
using testing::ElementsAre;
using testing::HasSubstr;

namespace hessian::tests {
namespace {

// The fixtures hold results of transformers in float64 throughout, for the dequantised weights of the file.
class GgufReference : public testing::TestWithParam<Fixture> {
 protected:
  models::Forward forward() const {
    models::Model model = load_gguf_model(fixture_path(GetParam().model), WeightAccess::ready);
    model.parameters = model.parameters.to(at::kCPU, at::kDouble);
    return models::Forward(std::move(model));
  }

  /// Returns the losses of the sequences divided by their number: the reference's loss is the mean over the batch.
  ProblemFunction share_of_batch_loss(const models::Forward& model, int64_t layer) const {
    const auto losses = support::residual_losses(model, layer, expected.at("targets"));
    const auto sequences = static_cast<double>(tokens.size(0));
    return [=](const at::Tensor& x, const ProblemIndices& problems) { return losses(x, problems) / sequences; };
  }

  Parameters expected = support::load_expected(GetParam());
  at::Tensor tokens = expected.at("tokens");
};

constexpr double tolerance = 1e-11;  // float64 through two layers, relative to the largest entry

TEST_P(GgufReference, GivesTheReferenceLogitsLossGradientsAndHessianVectorProducts) {
  const models::Forward model = forward();
  const auto residuals = support::residuals_of(model, tokens);
  EXPECT_LT(relative_error(model.logits(residuals.back()), expected.at("logits")), tolerance);
  for (int64_t layer = 0; layer <= model.config().n_layers; ++layer) {
    const std::string index = std::to_string(layer);
    const at::Tensor& x = residuals[static_cast<std::size_t>(layer)];
    const auto loss = share_of_batch_loss(model, layer);
    const auto result = value_and_gradient(loss, x, all_problems(tokens.size(0)));
    EXPECT_LT(relative_error(result.value.sum().view({1}), expected.at("loss")), tolerance) << "layer " << layer;
    EXPECT_LT(relative_error(result.gradient, expected.at("dx." + index)), tolerance) << "layer " << layer;
    const HessianOperator op(loss, x);
    const at::Tensor v = expected.at("v." + index);
    const at::Tensor product = op.apply(v.flatten(1).unsqueeze(1)).view_as(v);
    EXPECT_LT(relative_error(product, expected.at("hvp." + index)), tolerance) << "layer " << layer;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, GgufReference,
    testing::Values(Fixture{"formats/gguf_f16/model-F16.gguf", "formats/gguf_f16/expected.safetensors"},
                    Fixture{"formats/gguf_q8_0/model-Q8_0.gguf", "formats/gguf_q8_0/expected.safetensors"}));

const std::string quantised_fixture = "formats/gguf_q8_0/model-Q8_0.gguf";

TEST(GgufCheckpoint, ReadsTheConfiguration) {
  const auto config = load_gguf_model(fixture_path(quantised_fixture), WeightAccess::ready).config;
  models::GptConfig expected = models::family_defaults(models::Family::llama3);
  expected.dim = 32;
  expected.n_layers = 2;
  expected.n_heads = 4;
  expected.n_kv_heads = 2;
  expected.head_dim = 8;
  expected.ffn_hidden_dim = 64;
  expected.vocab_size = 97;
  expected.max_seq_len = 64;
  expected.norm_eps = static_cast<double>(1e-5F);
  expected.rope_theta = 500000;
  EXPECT_EQ(config, expected);
}

TEST(GgufCheckpoint, DefersQuantisedWeightsUntilTheyAreFetched) {
  const auto ready = load_gguf_model(fixture_path(quantised_fixture), WeightAccess::ready);
  const auto deferred = load_gguf_model(fixture_path(quantised_fixture), WeightAccess::deferred);
  EXPECT_TRUE(deferred.parameters.is_deferred("layers.0.attention.wq.weight"));
  EXPECT_TRUE(models::mapped_range(deferred.parameters.at("norm.weight")).file);
  EXPECT_TRUE(models::can_be_streamed(deferred, at::kCPU));
  const Parameters streamed = models::stream_weights(deferred, at::kCPU, at::kDouble);
  const at::Tensor ids = at::tensor({3, 96, 3}, at::kLong);
  for (const auto& [name, tensor] : ready.parameters) {
    EXPECT_EQ(tensor.scalar_type(), at::kFloat) << name;
    EXPECT_TRUE(deferred.parameters.fetched({name}).at(name).equal(tensor)) << name;
    EXPECT_TRUE(streamed.fetched({name}).at(name).equal(tensor.to(at::kDouble))) << name;
  }
  const at::Tensor rows = at::embedding(ready.parameters.at("tok_embeddings.weight"), ids);
  EXPECT_TRUE(deferred.parameters.rows("tok_embeddings.weight", ids).equal(rows));
  EXPECT_TRUE(streamed.rows("tok_embeddings.weight", ids).equal(rows.to(at::kDouble)));
}

/// Returns a model of random float32 weights: d 8, 1 layer, 2 heads, tied.
GgufWriter tiny_llama() {
  GgufWriter writer;
  writer.text("general.architecture", "llama");
  writer.number("llama.context_length", 32);
  writer.number("llama.embedding_length", 8);
  writer.number("llama.block_count", 1);
  writer.number("llama.feed_forward_length", 12);
  writer.number("llama.attention.head_count", 2);
  writer.real("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  auto generator = at::detail::createCPUGenerator(3);
  const auto add = [&](const std::string& name, const std::vector<std::uint64_t>& sizes) {
    const std::vector<std::int64_t> shape(sizes.rbegin(), sizes.rend());
    const at::Tensor values = at::randn(shape, generator, at::kFloat);
    writer.tensors.push_back({name, sizes, 0, {static_cast<const char*>(values.const_data_ptr()), values.nbytes()}, 0});
  };
  add("token_embd.weight", {8, 11});
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"}) {
    add(std::string("blk.0.") + name + ".weight", {8, 8});
  }
  add("blk.0.ffn_gate.weight", {8, 12});
  add("blk.0.ffn_up.weight", {8, 12});
  add("blk.0.ffn_down.weight", {12, 8});
  for (const char* name : {"blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"}) {
    add(std::string(name) + ".weight", {8});
  }
  return writer;
}

models::Model load(const GgufWriter& writer) {
  const TemporaryFolder folder;
  return load_gguf_model(folder.write("a.gguf", writer.bytes()), WeightAccess::ready);
}

std::string refusal(const GgufWriter& writer) {
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", writer.bytes());
  return refusal_about(path, [&] { load_gguf_model(path, WeightAccess::ready); });
}

/// Returns the refusal of the tiny model after a change.
template <typename Change>
std::string refusal_after(const Change& change) {
  GgufWriter writer = tiny_llama();
  change(writer);
  return refusal(writer);
}

TEST(GgufCheckpoint, TakesTheDefaultsOfAbsentKeys) {
  const auto model = load(tiny_llama());
  EXPECT_EQ(model.config.family, models::Family::llama2);
  EXPECT_EQ(model.config.n_kv_heads, 2);
  EXPECT_EQ(model.config.head_dim, 4);
  EXPECT_EQ(model.config.rope_theta, 10000);
  EXPECT_EQ(model.config.vocab_size, 11);
  EXPECT_TRUE(model.config.tied_head);
  EXPECT_EQ(model.config.rope_scaling, models::RopeScaling());
  EXPECT_FALSE(model.parameters.contains("output.weight"));
}

TEST(GgufCheckpoint, ReadsBiases) {
  GgufWriter writer = tiny_llama();
  for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
    writer.tensors.push_back({std::string("blk.0.") + name + ".bias", {8}, 0, std::string(32, '\x01'), 0});
  }
  const auto model = load(writer);
  EXPECT_TRUE(model.config.qkv_bias);
  EXPECT_FALSE(model.config.out_bias);
  EXPECT_EQ(model.parameters.at("layers.0.attention.wk.bias").numel(), 8);
}

TEST(GgufCheckpoint, ReadsTheScalingOfRope) {
  GgufWriter writer = tiny_llama();
  writer.text("llama.rope.scaling.type", "linear");
  writer.real("llama.rope.scaling.factor", 2.5F);
  EXPECT_EQ(load(writer).config.rope_scaling, (models::RopeScaling{.type = models::RopeType::linear, .factor = 2.5}));
  writer.text("llama.rope.scaling.type", "yarn");
  writer.number("llama.rope.scaling.original_context_length", 16);
  EXPECT_EQ(load(writer).config.rope_scaling,
            (models::RopeScaling{.type = models::RopeType::yarn, .factor = 2.5, .original_max_seq_len = 16}));
  writer.text("llama.rope.scaling.type", "none");
  EXPECT_EQ(load(writer).config.rope_scaling, models::RopeScaling());
  writer.text("llama.rope.scaling.type", "longrope");
  EXPECT_EQ(refusal(writer),
            "'llama.rope.scaling.type' is 'longrope', but only 'none', 'linear' and 'yarn' are supported");
  writer = tiny_llama();
  writer.real("llama.rope.scale_linear", 4);
  EXPECT_EQ(load(writer).config.rope_scaling, (models::RopeScaling{.type = models::RopeType::linear, .factor = 4}));
}

/// Returns the logits of some tokens in float64.
at::Tensor logits_of(models::Model model) {
  model.parameters = model.parameters.to(at::kCPU, at::kDouble);
  const models::Forward forward(std::move(model));
  const at::Tensor tokens = at::arange(11, at::kLong).repeat({1, 2});
  return forward.logits(support::residuals_of(forward, tokens).back());
}

// Llama 3.1's files have its scaling as one divisor per frequency, in float32.
TEST(GgufCheckpoint, DividesFrequenciesByTheTensorOfDivisors) {
  const models::RopeScaling scaling = {
      .type = models::RopeType::llama3, .factor = 8, .original_max_seq_len = 1000, .high_freq_factor = 4};
  // Pair 0 has frequency 1 and makes 159 turns in 1000 positions, pair 1 frequency 0.01 and 1.59 turns.
  const double kept = (1000 * 0.01 / (2 * std::numbers::pi) - 1) / (4 - 1);
  const double divisor = 1 / ((1 - kept) / 8 + kept);
  GgufWriter writer = tiny_llama();
  const models::Model plain = load(writer);
  models::Model expected = plain;
  expected.config.rope_scaling = scaling;
  writer.tensors.push_back({"rope_freqs.weight",
                            {2},
                            0,
                            support::little_endian(1.0F) + support::little_endian(static_cast<float>(divisor)),
                            0});
  const models::Model divided = load(writer);
  EXPECT_THAT(divided.config.rope_scaling.short_factors, ElementsAre(1, static_cast<float>(divisor)));
  EXPECT_LT(relative_error(logits_of(divided), logits_of(expected)), 1e-6);
  EXPECT_GT(relative_error(logits_of(plain), logits_of(expected)), 1e-3);

  writer.text("llama.rope.scaling.type", "linear");
  writer.real("llama.rope.scaling.factor", 2);
  EXPECT_EQ(refusal(writer),
            "has both 'llama.rope.scaling.type' and the tensor 'rope_freqs.weight', but only one of them is supported");
  writer = tiny_llama();
  const std::string ones = support::little_endian(1.0F) + support::little_endian(1.0F);
  writer.tensors.push_back({"rope_freqs.weight", {2}, 0, ones, 0});
  EXPECT_EQ(load(writer).config.rope_scaling, models::RopeScaling());
  writer.tensors.back().sizes = {2, 1};
  EXPECT_EQ(refusal(writer), "tensor 'rope_freqs.weight' is F32 [1, 2], expected a list of F32");
}

/// A reference of transformers, and what llama.cpp's converter makes of it.
struct Converted {
  const char* fixture;
  const char* architecture;
  double tolerance;  ///< of logits: GGUF has eps in float32
};

std::ostream& operator<<(std::ostream& out, const Converted& converted) {
  return out << converted.fixture;
}

constexpr std::uint32_t f32 = 0;

/// Returns a fixture in GGUF. Of q and k, "llama" has interleaved rows, the others have transformers' order.
GgufWriter converted(const Converted& source) {
  const std::string folder = fixture_path(std::string("huggingface/") + source.fixture);
  const auto json = nlohmann::json::parse(support::read_file(folder + "/config.json"));
  const std::string prefix = std::string(source.architecture) + ".";
  GgufWriter writer;
  writer.text("general.architecture", source.architecture);
  const std::pair<const char*, const char*> sizes[] = {{"context_length", "max_position_embeddings"},
                                                       {"embedding_length", "hidden_size"},
                                                       {"block_count", "num_hidden_layers"},
                                                       {"feed_forward_length", "intermediate_size"},
                                                       {"attention.head_count", "num_attention_heads"},
                                                       {"attention.head_count_kv", "num_key_value_heads"},
                                                       {"attention.key_length", "head_dim"}};
  for (const auto& [to, from] : sizes) {
    if (json.contains(from) && json[from].is_number()) {
      writer.number(prefix + to, json[from].get<std::uint32_t>());
    }
  }
  writer.real(prefix + "attention.layer_norm_rms_epsilon", json["rms_norm_eps"].get<float>());
  const auto& rope = json["rope_parameters"];
  writer.real(prefix + "rope.freq_base", rope["rope_theta"].get<float>());
  if (const auto type = rope["rope_type"].get<std::string>(); type == "linear" || type == "yarn") {
    writer.text(prefix + "rope.scaling.type", type);
    writer.real(prefix + "rope.scaling.factor", rope["factor"].get<float>());
    if (type == "yarn") {
      writer.number(prefix + "rope.scaling.original_context_length",
                    rope["original_max_position_embeddings"].get<std::uint32_t>());
    }
  }
  const bool is_olmo = std::string(source.architecture) == "olmo2";
  const std::pair<std::string, std::string> names[] = {
      {"model.embed_tokens", "token_embd"},
      {"model.norm", "output_norm"},
      {"lm_head", "output"},
      {"model.layers.", "blk."},
      {"self_attn.q_proj", "attn_q"},
      {"self_attn.k_proj", "attn_k"},
      {"self_attn.v_proj", "attn_v"},
      {"self_attn.o_proj", "attn_output"},
      {"self_attn.q_norm", "attn_q_norm"},
      {"self_attn.k_norm", "attn_k_norm"},
      {"input_layernorm", "attn_norm"},
      {"post_attention_layernorm", is_olmo ? "post_attention_norm" : "ffn_norm"},
      {"post_feedforward_layernorm", "post_ffw_norm"},
      {"mlp.gate_proj", "ffn_gate"},
      {"mlp.up_proj", "ffn_up"},
      {"mlp.down_proj", "ffn_down"}};
  for (const auto& [name, tensor] : models::load_safetensors(folder + "/model.safetensors").tensors) {
    std::string target = name;
    for (const auto& [from, to] : names) {
      if (const std::size_t position = target.find(from); position != std::string::npos) {
        target.replace(position, from.size(), to);
      }
    }
    at::Tensor values = tensor.to(at::kFloat);
    const bool is_query = name.find("q_proj") != std::string::npos;
    if (std::string(source.architecture) == "llama" && (is_query || name.find("k_proj") != std::string::npos)) {
      const auto heads = json[is_query ? "num_attention_heads" : "num_key_value_heads"].get<std::int64_t>();
      values = values.unflatten(0, {heads, 2, -1}).transpose(1, 2).reshape(values.sizes());
    }
    values = values.contiguous();
    const std::vector<std::uint64_t> reversed(values.sizes().rbegin(), values.sizes().rend());
    writer.tensors.push_back(
        {target, reversed, f32, {static_cast<const char*>(values.const_data_ptr()), values.nbytes()}, 0});
  }
  return writer;
}

class GgufConverted : public testing::TestWithParam<Converted> {};

TEST_P(GgufConverted, GivesTheLogitsOfItsSource) {
  const Parameters expected =
      models::load_safetensors(fixture_path(std::string("huggingface/") + GetParam().fixture) + "/expected.safetensors")
          .tensors;
  const TemporaryFolder folder;
  const std::string path = folder.write("a.gguf", converted(GetParam()).bytes());
  models::Model model = load_gguf_model(path, WeightAccess::ready);
  const models::Model deferred = load_gguf_model(path, WeightAccess::deferred);
  EXPECT_EQ(deferred.parameters.is_deferred("layers.1.attention.wk.weight"),
            std::string(GetParam().architecture) != "llama");
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_TRUE(deferred.parameters.fetched({name}).at(name).equal(tensor)) << name;
  }
  model.parameters = model.parameters.to(at::kCPU, at::kDouble);
  const models::Forward forward(std::move(model));
  const auto residuals = support::residuals_of(forward, expected.at("tokens"));
  EXPECT_LT(relative_error(forward.logits(residuals.back()), expected.at("logits")), GetParam().tolerance);
}

INSTANTIATE_TEST_SUITE_P(All, GgufConverted,
                         testing::Values(Converted{"llama_linear", "llama", 1e-7},
                                         Converted{"llama_yarn", "llama", 1e-7}, Converted{"llama_bias", "llama", 1e-7},
                                         Converted{"mistral", "llama", 1e-7}, Converted{"qwen2", "qwen2", 1e-7},
                                         Converted{"qwen3", "qwen3", 1e-7}, Converted{"olmo2", "olmo2", 1e-7}));

TEST(GgufCheckpoint, RefusesWhatItDoesNotCompute) {
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.text("general.architecture", "mamba"); }),
            "architecture 'mamba' is not supported; supported are llama, qwen2, qwen3, olmo2");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.remove("general.architecture"); }),
            "the metadata has no 'general.architecture'");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.expert_count", 8); }),
            "'llama.expert_count' is 8, but only models without it are supported");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.real("llama.logit_scale", 0.5F); }),
            "'llama.logit_scale' is 0.5, but only models without it are supported");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.attention.value_length", 2); }),
            "keys have 4 entries per head and values 2, but only equal lengths are supported");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) {
              writer.numbers("llama.feed_forward_length", {12, 16});
            }),
            "'llama.feed_forward_length' differs between layers, but only models with equal layers are supported");
  GgufWriter equal = tiny_llama();
  equal.numbers("llama.feed_forward_length", {12, 12});
  EXPECT_EQ(load(equal).config.ffn_hidden_dim, 12);
}

TEST(GgufCheckpoint, RefusesBadSettings) {
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.remove("llama.embedding_length"); }),
            "the metadata has no 'llama.embedding_length'");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.context_length", 0); }),
            "'llama.context_length' is 0, expected a positive integer");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.text("llama.block_count", "two"); }),
            "'llama.block_count' is a text, expected an integer below 2^63");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.block_count", 2'000'000'000); }),
            "has 11 tensors, too few for 2000000000 layers");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.attention.head_count", 3); }),
            "3 heads do not divide the width of 8");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.real("llama.rope.freq_base", NAN); }),
            "'llama.rope.freq_base' is nan, expected a positive number");
}

TEST(GgufCheckpoint, RefusesTensorsThatDoNotFitTheSettings) {
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.tensors.erase(writer.tensors.begin()); }),
            "has no matrix 'token_embd.weight'");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.tensors.pop_back(); }),
            "tensor 'output_norm.weight' [8] is absent");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) { writer.number("llama.feed_forward_length", 16); }),
            "tensor 'blk.0.ffn_gate.weight' is [12, 8], expected [16, 8]");
  EXPECT_EQ(refusal_after([](GgufWriter& writer) {
              writer.tensors.push_back({"blk.0.attn_q_norm.weight", {4}, 0, std::string(16, '\0'), 0});
            }),
            "tensor 'blk.0.attn_q_norm.weight' [4] is not part of this architecture");
  EXPECT_THAT(refusal_after([](GgufWriter& writer) {
                writer.tensors.back() = {"output_norm.weight", {8}, 0, std::string(32, '\xff'), 0};
              }),
              HasSubstr("tensor 'norm.weight' holds non-finite values"));
}

}  // namespace
}  // namespace hessian::tests
