#include "probe/describe_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <string>

#include "hessian/memory.h"
#include "hessian/models/checkpoint.h"
#include "hessian/models/named_models.h"
#include "loader_support.h"
#include "refusal.h"

// Tests what hessian-probe --describe prints of a model.

namespace hessian::tests {
namespace {

using experiments::describe_model;
using experiments::format_json;
using experiments::format_text;
using experiments::ModelDescription;
using models::Family;
using models::GptConfig;
using models::RopeType;
using nlohmann::json;
using support::TemporaryFolder;
using testing::HasSubstr;

const std::string fixtures = std::string(HESSIAN_FIXTURES) + "/huggingface/";

/// Returns a family's configuration with small sizes.
GptConfig small(Family family, int64_t n_layers = 2) {
  GptConfig config = models::family_defaults(family);
  config.dim = 8;
  config.n_layers = n_layers;
  config.n_heads = 2;
  config.n_kv_heads = 1;
  config.head_dim = 4;
  config.ffn_hidden_dim = 12;
  config.vocab_size = 300;
  config.max_seq_len = 64;
  return config;
}

/// Returns what the text says of a property; further lines are appended after a semicolon.
std::string value_of(const std::string& text, const std::string& property) {
  constexpr std::size_t column = 15;
  std::istringstream lines(text);
  std::string value;
  bool found = false;
  for (std::string line; std::getline(lines, line);) {
    const std::string name = line.substr(0, column);
    found = name.find_first_not_of(' ') == std::string::npos ? found : name.starts_with(property + " ");
    if (found) {
      value += (value.empty() ? "" : "; ") + line.substr(column);
    }
  }
  return value;
}

/// Returns what the text says of a property of a configuration.
std::string value_of(const GptConfig& config, const std::string& property) {
  return value_of(format_text(ModelDescription{.config = config, .seq_len = 32}), property);
}

TEST(DescribeModel, NamesTheNormsOfEachPlacement) {
  GptConfig config = small(Family::llama2);
  EXPECT_EQ(value_of(config, "norms"), "RMSNorm, eps 1e-05");
  EXPECT_EQ(value_of(config, "placement"), "prenorm: x + f(norm(x))");
  EXPECT_EQ(value_of(config, "q and k norms"), "none");
  config.placement = models::Placement::preqknorm;
  EXPECT_EQ(value_of(config, "q and k norms"), "RMSNorm over all heads together");
  EXPECT_EQ(value_of(small(Family::qwen3), "q and k norms"), "RMSNorm of each head");
  EXPECT_EQ(value_of(small(Family::olmo2), "placement"), "reordered: x + norm(f(x))");
  EXPECT_EQ(value_of(small(Family::pythia), "placement"), "prenorm: x + f(norm(x)) + g(norm(x))");
  EXPECT_EQ(value_of(small(Family::pythia), "norms"), "LayerNorm, eps 1e-05");
  EXPECT_EQ(value_of(small(Family::gemma2), "norms"), "RMSNorm, eps 1e-06, multiplies by 1 + gain");
  // SimpleNorm models have no norms per head, whatever the family.
  config = small(Family::qwen3);
  config.placement = models::Placement::simplegpt;
  EXPECT_EQ(value_of(config, "q and k norms"), "RMSNorm behind their maps");
}

TEST(DescribeModel, NamesTheLayersWithAWindowAsBrieflyAsPossible) {
  EXPECT_EQ(value_of(small(Family::llama2), "windows"), "none");
  EXPECT_EQ(value_of(small(Family::gemma2, 26), "windows"), "4096 positions in layers 0, 2 ... 24; the others see all");
  EXPECT_EQ(value_of(small(Family::gemma3, 26), "windows"),
            "1024 positions in all layers but 5, 11 ... 23; the others see all");
  GptConfig config = small(Family::mistral, 4);
  config.window = 16;
  EXPECT_EQ(value_of(config, "windows"), "16 positions in all layers");
  config.window_pattern = "ffwf";
  EXPECT_EQ(value_of(config, "windows"), "16 positions in layer 2; the others see all");
  config.window_pattern = "fwww";
  EXPECT_EQ(value_of(config, "windows"), "16 positions in layers 1-3; the others see all");
  config = small(Family::mistral, 8);
  config.window = 16;
  config.window_pattern = "wwfwffwf";
  EXPECT_EQ(value_of(config, "windows"), "16 positions in layers 0-1, 3, 6; the others see all");
}

TEST(DescribeModel, SaysInWordsHowRopeIsScaled) {
  GptConfig config = small(Family::llama3);
  config.rope_scaling = {.type = RopeType::llama3, .factor = 8, .original_max_seq_len = 32};
  EXPECT_EQ(value_of(config, "positions"), "RoPE, base 500000, 4 of 4 entries of a head rotated");
  EXPECT_EQ(value_of(config, "RoPE scaling"),
            "llama3: frequencies below 1 turns in 32 tokens divided by 8, those below 4 turns interpolated");
  config.rope_scaling = {.type = RopeType::yarn, .factor = 4};
  // 0.1 ln 4 + 1
  EXPECT_THAT(
      value_of(config, "RoPE scaling"),
      HasSubstr("in 64 tokens divided by 4, those below 32 turns interpolated; cosines and sines times 1.13863"));
  config.rope_scaling = {.type = RopeType::longrope,
                         .factor = 16,
                         .original_max_seq_len = 16,
                         .short_factors = {1, 1},
                         .long_factors = {2, 3}};
  // sqrt(1 + ln 16 / ln 16)
  EXPECT_THAT(value_of(config, "RoPE scaling"), HasSubstr("more than 16 tokens; cosines and sines times 1.41421"));
  config = small(Family::gemma3, 6);
  EXPECT_EQ(value_of(config, "RoPE scaling"), "none; layers with a window: base 10000, not scaled");
  EXPECT_EQ(value_of(small(Family::smollm3, 9), "positions"),
            "RoPE, base 2000000, 4 of 4 entries of a head rotated; none in layers 3, 7");
  EXPECT_EQ(value_of(small(Family::gpt2), "positions"), "learned, 64");
  EXPECT_EQ(value_of(small(Family::gpt2), "RoPE scaling"), "");
}

TEST(DescribeModel, NamesBiasesCapsAndScales) {
  EXPECT_EQ(value_of(small(Family::llama2), "biases"), "none");
  EXPECT_EQ(value_of(small(Family::qwen2), "biases"), "q, k, v");
  EXPECT_EQ(value_of(small(Family::pythia), "biases"), "q, k, v, attention output, feed-forward, norms");
  EXPECT_EQ(value_of(small(Family::gemma2), "soft caps"), "attention scores 50, logits 30");
  EXPECT_EQ(value_of(small(Family::gemma3), "soft caps"), "none");
  EXPECT_EQ(value_of(small(Family::gemma3), "embedding"), "multiplied by 2.82843");
  EXPECT_EQ(value_of(small(Family::gemma3), "feed-forward"), "12, GELU with a gate, tanh approximation");
  EXPECT_EQ(value_of(small(Family::gemma3), "output head"), "tied to the embedding");
  GptConfig config = small(Family::gemma2);
  config.query_scalar = 144;
  EXPECT_EQ(value_of(config, "attention"), "2 heads of 4, 1 key/value heads; scores divided by sqrt(144)");
}

TEST(DescribeModel, CountsParametersWithAndWithoutEmbeddings) {
  // Per layer: 2 norms of 8, wq and wo 8 x 8, wk and wv 4 x 8, three maps 8 x 12. Then the final norm.
  const int64_t inner = 2 * (2 * 8 + 2 * 64 + 2 * 32 + 3 * 96) + 8;
  const auto parsed = json::parse(format_json(ModelDescription{.config = small(Family::llama2), .seq_len = 32}));
  EXPECT_EQ(parsed["parameters_without_embeddings"], inner);
  EXPECT_EQ(parsed["parameters"], inner + 2 * 300 * 8);
  EXPECT_EQ(value_of(small(Family::llama2), "parameters"), "5,800; 1,000 without embeddings and output head");
  const GptConfig gpt2 = small(Family::gpt2);
  const auto positions = json::parse(format_json(ModelDescription{.config = gpt2, .seq_len = 32}));
  EXPECT_EQ(positions["parameters"].get<int64_t>() - positions["parameters_without_embeddings"].get<int64_t>(),
            (300 + 64) * 8);
}

TEST(DescribeModel, DescribesAFreshModelWithoutDrawingItsWeights) {
  const MemoryScope scope;
  const ModelDescription description = describe_model({.model = "new:llama2-70B-prenorm"});
  EXPECT_LT(scope.peak_bytes(), 1 << 20);
  const std::string text = format_text(description);
  EXPECT_EQ(value_of(text, "format"), "fresh weights");
  EXPECT_EQ(value_of(text, "layers"), "80");
  EXPECT_EQ(value_of(text, "parameters"), "68,976,648,192; 68,452,360,192 without embeddings and output head");
  EXPECT_THAT(value_of(text, "stored"), HasSubstr("drawn when a probe starts"));
  EXPECT_THAT(value_of(text, "tokenizer"), HasSubstr("a token per byte of text"));
  EXPECT_FALSE(description.streamed_bytes);
}

TEST(DescribeModel, ReadsNoValuesOfACheckpoint) {
  const support::TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  models::Model model = models::initialise_model(small(Family::qwen3), 0);
  model.parameters.at("norm.weight").fill_(std::numeric_limits<double>::quiet_NaN());
  models::save_checkpoint(model, path, 12);
  EXPECT_THAT(support::refusal_of([&] { models::load_checkpoint(path); }), HasSubstr("non-finite"));
  const ModelDescription description = describe_model({.model = path, .seq_len = 16});
  EXPECT_EQ(description.config, model.config);
  EXPECT_EQ(description.step, 12);
  const int64_t count = models::parameter_count(model.config);
  EXPECT_EQ(description.stored.at("float32"), count);
  EXPECT_EQ(description.stored_bytes, 4 * count);
  EXPECT_EQ(description.seq_len, 16);
  EXPECT_EQ(value_of(format_text(description), "format"), "qwen3 prenorm checkpoint, step 12");
  EXPECT_THAT(value_of(format_text(description), "tokenizer"), HasSubstr("text needs --tokenizer"));
}

TEST(DescribeModel, ReadsAFolderOfHuggingFace) {
  const ModelDescription description = describe_model({.model = fixtures + "gemma2"});
  EXPECT_EQ(description.config, models::load_checkpoint(fixtures + "gemma2").model.config);
  EXPECT_EQ(description.format, "Hugging Face Gemma2ForCausalLM");
  EXPECT_EQ(description.seq_len, 64);
  ASSERT_TRUE(description.streamed_bytes);
  const auto parsed = json::parse(format_json(description));
  EXPECT_EQ(parsed["window_layers"], json({0, 2}));
  EXPECT_EQ(parsed["rope"]["layers"], json({0, 1, 2}));
  EXPECT_EQ(parsed["config"]["attention_cap"], 5);
  EXPECT_EQ(parsed["memory"]["float64_weight_bytes"], 8 * parsed["parameters"].get<int64_t>());
  // One vector of the Hessian of a sequence at the residual: seq_len dim numbers.
  EXPECT_EQ(parsed["memory"]["float32_vector_bytes"], 64 * 24 * 4);
  EXPECT_TRUE(parsed["tokenizer"].is_null());
}

TEST(DescribeModel, RefusesWhatAProbeRefuses) {
  EXPECT_THAT(support::refusal_of<std::invalid_argument>(
                  [] { describe_model({.model = "new:llama2-20M-prenorm", .seq_len = 5000}); }),
              HasSubstr("--seq-len 5000 is longer than the 4096 positions"));
  EXPECT_THAT(support::refusal_of<std::invalid_argument>(
                  [] { describe_model({.model = fixtures + "gemma2", .vocab_size = 5}); }),
              HasSubstr("--vocab-size is for fresh models"));
  EXPECT_THAT(support::refusal_of([] { describe_model({.model = "absent.safetensors"}); }),
              HasSubstr("absent.safetensors"));
}

}  // namespace
}  // namespace hessian::tests
