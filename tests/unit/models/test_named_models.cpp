#include "hessian/models/named_models.h"

#include <gtest/gtest.h>

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
  EXPECT_FALSE(gpt2.bias);
}

TEST(ModelNames, AcceptEverySizeWithEveryPlacement) {
  std::set<std::string> names;
  for (const models::NamedSize& size : models::named_sizes()) {
    for (const models::Placement placement : support::all_placements()) {
      const std::string name = std::string("new:") + models::to_string(size.config.family) + "-" + size.name + "-" +
                               models::to_string(placement);
      GptConfig expected = size.config;
      expected.placement = placement;
      EXPECT_TRUE(parse_model_name(name) == expected) << name;
      EXPECT_TRUE(names.insert(name).second) << name << " is there twice";
    }
  }
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
      const std::string name =
          std::string(models::to_string(size.config.family)) + "-" + size.name + "-" + models::to_string(placement);
      EXPECT_EQ(model_label(parse_model_name("new:" + name)), name);
      EXPECT_EQ(model_label(parse_model_name("new:" + name, 256)), name);
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
            "new:llama4-20M-prenorm: 'llama4' is no model family; known are gpt2, llama2, llama3");
  EXPECT_EQ(refusal("new:llama2-20M-norm"),
            "new:llama2-20M-norm: 'norm' is no norm placement; known are prenorm, preqknorm, simplegpt, postnorm, "
            "sandwich");
  EXPECT_EQ(refusal("new:llama3-20M-prenorm"),
            "new:llama3-20M-prenorm: '20M' is no size of llama3; known are debugmodel, 8B, 70B");
  EXPECT_EQ(refusal("new:gpt2-7B-prenorm"),
            "new:gpt2-7B-prenorm: '7B' is no size of gpt2; known are 10M, 124M, 350M, 774M, 1558M");
  for (const std::string name : {"new:", "new:llama2", "new:llama2-20M", "llama2-20M-prenorm", ""}) {
    EXPECT_EQ(refusal(name), name + ": a fresh model is new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt");
  }
  EXPECT_NE(refusal("new:llama2-20M-extra-prenorm"), "");
  EXPECT_NE(refusal("new:llama2--prenorm"), "");
}

}  // namespace
}  // namespace hessian::tests
