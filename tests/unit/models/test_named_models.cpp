#include "hessian/models/named_models.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "loader_support.h"
#include "refusal.h"
#include "tiny_models.h"

using hessian::models::GptConfig;
using hessian::models::parse_model_name;
using hessian::support::refusal_of;

namespace hessian::tests {
namespace {

std::string refusal(const std::string& name) {
  return refusal_of([&] { parse_model_name(name); });
}

/// Returns the name of a size without a placement: "new:llama2-20M".
std::string name_of(const models::NamedSize& size) {
  return std::string("new:") + models::to_string(size.config.family) + "-" + size.name;
}

TEST(ModelNames, GiveTheSizesOfTheFamilies) {
  const GptConfig small = parse_model_name("new:llama2-20M-simplegpt");
  EXPECT_EQ(small.family, models::Family::llama2);
  EXPECT_EQ(small.placement, models::Placement::simplegpt);
  EXPECT_EQ(small.dim, 256);
  EXPECT_EQ(small.n_layers, 4);
  EXPECT_EQ(small.n_heads, 4);
  EXPECT_EQ(small.vocab_size, 32000);

  const GptConfig large = parse_model_name("new:llama3-8B-prenorm");
  EXPECT_EQ(large.n_kv_heads, 8);
  EXPECT_EQ(large.ffn_hidden_dim, 14336);
  EXPECT_EQ(large.rope_theta, 500000.0);
  EXPECT_EQ(large.vocab_size, 128256);

  const GptConfig gpt2 = parse_model_name("new:gpt2-124M-postnorm");
  EXPECT_EQ(gpt2.n_layers, 12);
  EXPECT_EQ(gpt2.vocab_size, 50304);
  EXPECT_TRUE(gpt2.tied_head);
  EXPECT_FALSE(gpt2.qkv_bias || gpt2.out_bias || gpt2.ffn_bias || gpt2.norm_bias);
}

TEST(ModelNames, GiveTheDetailsOfTheFamilies) {
  const GptConfig pythia = parse_model_name("new:pythia-1b");
  EXPECT_EQ(pythia.head_dim, 256);
  EXPECT_EQ(pythia.rotated_dim, 64);
  EXPECT_TRUE(pythia.parallel && pythia.qkv_bias && !pythia.tied_head);

  EXPECT_EQ(parse_model_name("new:mistral-7B-v0.1").window, 4096);
  EXPECT_EQ(parse_model_name("new:mistral-7B-v0.3").window, 0);
  EXPECT_EQ(parse_model_name("new:mistral-7B-v0.3").rope_theta, 1e6);

  EXPECT_TRUE(parse_model_name("new:qwen2-1.5B").tied_head);
  EXPECT_FALSE(parse_model_name("new:qwen2-7B").tied_head);
  EXPECT_EQ(parse_model_name("new:qwen2-32B").norm_eps, 1e-5);
  EXPECT_EQ(parse_model_name("new:qwen3-0.6B").head_dim, 128);
  EXPECT_EQ(parse_model_name("new:qwen3-0.6B").dim, 1024);

  EXPECT_EQ(parse_model_name("new:gemma2-27b").query_scalar, 144);
  EXPECT_EQ(parse_model_name("new:gemma2-27b").attention_cap, 50);
  const GptConfig gemma3 = parse_model_name("new:gemma3-4b");
  EXPECT_TRUE(models::has_window(gemma3, 4) && !models::has_window(gemma3, 5) && models::has_window(gemma3, 6));
  EXPECT_EQ(gemma3.window, 1024);
  EXPECT_EQ(gemma3.rope_scaling.factor, 8);
  EXPECT_EQ(parse_model_name("new:gemma3-1b").window, 512);
  EXPECT_EQ(parse_model_name("new:gemma3-1b").rope_scaling.type, models::RopeType::plain);

  const GptConfig llama32 = parse_model_name("new:llama3-1B");
  EXPECT_EQ(llama32.rope_scaling.type, models::RopeType::llama3);
  EXPECT_EQ(llama32.rope_scaling.factor, 32);
  EXPECT_TRUE(llama32.tied_head);
  const GptConfig smollm3 = parse_model_name("new:smollm3-3B");
  EXPECT_TRUE(models::has_rope(smollm3, 2) && !models::has_rope(smollm3, 3) && models::has_rope(smollm3, 4));
  EXPECT_EQ(parse_model_name("new:phi3-mini-4k").window, 2047);
}

TEST(ModelNames, WithoutAPlacementHaveThatOfTheirFamily) {
  using models::Placement;
  for (const auto& [name, placement] :
       std::map<std::string, Placement>{{"new:llama2-20M", Placement::prenorm},
                                        {"new:pythia-70m", Placement::prenorm},
                                        {"new:phi3-medium-4k", Placement::prenorm},
                                        {"new:gemma2-2b", Placement::sandwich},
                                        {"new:gemma3-270m", Placement::sandwich},
                                        {"new:olmo2-1B", Placement::reordered}}) {
    EXPECT_EQ(parse_model_name(name).placement, placement) << name;
    EXPECT_EQ(parse_model_name(name + "-prenorm").placement, Placement::prenorm) << name;
  }
}

TEST(ModelNames, TakeSizesInUpperAndLowerCase) {
  EXPECT_EQ(parse_model_name("new:qwen3-0.6b"), parse_model_name("new:qwen3-0.6B"));
  EXPECT_EQ(parse_model_name("new:pythia-70M-sandwich"), parse_model_name("new:pythia-70m-sandwich"));
  EXPECT_EQ(parse_model_name("new:mistral-7b-V0.1"), parse_model_name("new:mistral-7B-v0.1"));
  EXPECT_EQ(parse_model_name("new:llama2-20m-simplegpt"), parse_model_name("new:llama2-20M-simplegpt"));
}

TEST(ModelNames, AcceptEverySizeWithEveryPlacementOfItsFamily) {
  std::set<std::string> names;
  std::set<models::Family> families;
  for (const models::NamedSize& size : models::named_sizes()) {
    families.insert(size.config.family);
    for (const models::Placement placement : support::all_placements()) {
      const std::string name = name_of(size) + "-" + models::to_string(placement);
      if (!support::is_valid(size.config.family, placement)) {
        EXPECT_NE(refusal(name), "") << name;
        continue;
      }
      GptConfig expected = size.config;
      expected.placement = placement;
      EXPECT_EQ(parse_model_name(name), expected) << name;
      EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    }
    EXPECT_EQ(parse_model_name(name_of(size)), size.config) << name_of(size);
  }
  EXPECT_EQ(families.size(), support::all_families().size());
}

TEST(ModelNames, TakeAnotherVocabulary) {
  GptConfig expected = parse_model_name("new:llama2-39M-preqknorm");
  expected.vocab_size = 256;
  EXPECT_TRUE(parse_model_name("new:llama2-39M-preqknorm", 256) == expected);
  EXPECT_EQ(refusal_of([] { parse_model_name("new:llama2-39M-preqknorm", 0); }),
            "new:llama2-39M-preqknorm: vocab_size is 0, expected 1 to 1073741824");
}

TEST(ModelLabels, KeepTheNamesOfTheOfficialSizesForAnyVocabularyAndPlacement) {
  for (const models::NamedSize& size : models::named_sizes()) {
    for (const models::Placement placement : support::all_placements()) {
      if (support::is_valid(size.config.family, placement)) {
        const std::string name = name_of(size) + "-" + models::to_string(placement);
        EXPECT_EQ("new:" + model_label(parse_model_name(name)), name);
        EXPECT_EQ("new:" + model_label(parse_model_name(name, 256)), name);
      }
    }
  }
}

TEST(ModelLabels, CountTheParametersOfOtherDimensions) {
  GptConfig config = parse_model_name("new:llama2-20M-simplegpt", 256);
  config.dim = 128;
  config.head_dim = 32;
  config.ffn_hidden_dim = 352;
  // 2 x 256 x 128 of the embedding and the head, and 4 (4 x 128^2 + 3 x 128 x 352) of the layers' matrices.
  EXPECT_EQ(model_label(config), "llama2-0.9M-simplegpt");
  config.n_layers = 45;
  EXPECT_EQ(model_label(config), "llama2-9.1M-simplegpt");
  config.n_layers = 60;
  EXPECT_EQ(model_label(config), "llama2-12M-simplegpt");
  config.n_layers = 1;
  EXPECT_EQ(model_label(config), "llama2-267K-simplegpt");
  GptConfig large = parse_model_name("new:llama2-1B-prenorm");
  large.n_layers = 20;
  EXPECT_EQ(model_label(large), "llama2-1.2B-prenorm");
}

TEST(ModelLabels, GiveAllPlacementsOfOneArchitectureTheSameSize) {
  GptConfig config = parse_model_name("new:llama2-20M-prenorm", 256);
  for (int64_t width = 16; width <= 512; width += 16) {
    config.dim = width;
    config.n_heads = config.n_kv_heads = 1;
    config.head_dim = width;
    config.ffn_hidden_dim = 2 * width;
    std::set<std::string> stems;
    for (const models::Placement placement : support::all_placements()) {
      config.placement = placement;
      const std::string label = model_label(config);
      stems.insert(label.substr(0, label.rfind('-')));
    }
    EXPECT_EQ(stems.size(), 1) << *stems.begin();
  }
}

TEST(ModelLabels, AreWrittenNextToTheConfigurationInJson) {
  const GptConfig config = parse_model_name("new:llama2-39M-preqknorm");
  const std::string json = models::labelled_config_json(config);
  EXPECT_NE(json.find(R"("label":"llama2-39M-preqknorm")"), std::string::npos) << json;
  EXPECT_TRUE(models::config_from_json(json) == config);
}

TEST(ModelNames, AreDistinguishedFromPaths) {
  EXPECT_TRUE(models::is_model_name("new:llama2-20M-simplegpt"));
  EXPECT_TRUE(models::is_model_name("new:"));
  for (const char* path : {"", "new", "model.safetensors", "./new:llama2", "runs/new:x", "NEW:llama2-20M-prenorm"}) {
    EXPECT_FALSE(models::is_model_name(path)) << path;
  }
}

TEST(ModelNames, AreRefusedWithTheAcceptedWords) {
  EXPECT_EQ(refusal("new:llama4-20M-prenorm"),
            "new:llama4-20M-prenorm: 'llama4' is no model family; known are gpt2, llama2, llama3, mistral, qwen2, qwen3, "
            "olmo2, pythia, gemma2, gemma3, phi3, smollm3");
  EXPECT_EQ(refusal("new:llama2-20M-norm"),
            "new:llama2-20M-norm: 'norm' is no norm placement; known are prenorm, preqknorm, simplegpt, postnorm, "
            "sandwich, reordered");
  EXPECT_EQ(refusal("new:llama3-20M-prenorm"),
            "new:llama3-20M-prenorm: '20M' is no size of llama3; known are debugmodel, 8B, 70B, 1B, 3B");
  EXPECT_EQ(refusal("new:gpt2-7B-prenorm"),
            "new:gpt2-7B-prenorm: '7B' is no size of gpt2; known are 10M, 124M, 350M, 774M, 1558M");
  EXPECT_EQ(refusal("new:phi3-mini-128k"),
            "new:phi3-mini-128k: 'mini-128k' is no size of phi3; known are mini-4k, medium-4k");
  EXPECT_EQ(refusal("new:mistral-7B"), "new:mistral-7B: '7B' is no size of mistral; known are 7B-v0.1, 7B-v0.3");
  EXPECT_EQ(refusal("new:olmo2-1B-preqknorm"),
            "new:olmo2-1B-preqknorm: preqknorm would normalise q and k of olmo2 twice: its own norms do so already");
  for (const std::string name : {"new:", "new:llama2", "llama2-20M-prenorm", ""}) {
    EXPECT_EQ(refusal(name),
              name + ": a fresh model is new:FAMILY-SIZE or new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt");
  }
  for (const char* name : {"new:llama2-", "new:llama2-20M-", "new:llama2-20M-extra-prenorm", "new:llama2--prenorm",
                           "new:-20M", "new:llama2-prenorm", "new:llama2-20M-PRENORM"}) {
    EXPECT_NE(refusal(name), "") << name;
  }
}

}  // namespace
}  // namespace hessian::tests
