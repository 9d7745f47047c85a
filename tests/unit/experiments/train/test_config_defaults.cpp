#include <gtest/gtest.h>

#include <set>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "hessian/models/named_models.h"
#include "loader_support.h"
#include "sweep/config.h"
#include "train/config.h"

// Compares the default of every key of a training run and of a sweep with a list of its own, and what a configuration means
// where a key has no value of its own.

namespace hessian::tests {
namespace {

using experiments::architecture_of;
using experiments::ConfigField;
using experiments::ConfigFields;
using experiments::ConfigTarget;
using experiments::SweepConfig;
using experiments::TrainConfig;

/// A key with its default, as TOML, and the member that it sets.
struct ExpectedField {
  std::string key;
  std::string value;
  ConfigTarget member;
};

/// Returns the keys of a training run. Those of the optimizer, the schedule and clipping are the recipe of the SimpleGPT
/// code; those of divergence are derived where DivergenceOptions declares them.
std::vector<ExpectedField> expected_of_training(TrainConfig& c, const std::string& checkpoint_every = "500") {
  return {
      {"out", "''", &c.out},
      {"steps", "1000", &c.steps},
      {"seed", "0", &c.seed},
      {"device", "'auto'", &c.device},
      {"dtype", "'float32'", &c.dtype},
      {"threads", "0", &c.threads},
      {"model.name", "'new:llama2-20M-prenorm'", &c.model.name},
      {"model.vocab_size", "256", &c.model.vocab_size},
      {"model.dim", "0", &c.model.dim},
      {"model.n_layers", "0", &c.model.n_layers},
      {"model.n_heads", "0", &c.model.n_heads},
      {"model.n_kv_heads", "0", &c.model.n_kv_heads},
      {"model.head_dim", "0", &c.model.head_dim},
      {"model.ffn_hidden_dim", "0", &c.model.ffn_hidden_dim},
      {"model.window", "0", &c.model.window},
      {"model.window_pattern", "''", &c.model.window_pattern},
      {"model.rope_pattern", "''", &c.model.rope_pattern},
      {"data.source", "'builtin'", &c.data.source},
      {"data.tokenizer", "''", &c.data.tokenizer},
      {"data.token_type", "''", &c.data.token_type},
      {"data.seq_len", "128", &c.data.seq_len},
      {"data.batch_size", "8", &c.data.batch_size},
      {"data.accumulation", "1", &c.data.accumulation},
      {"optimizer.name", "'adamw'", &c.optimizer.name},
      {"optimizer.lr", "0.001", &c.optimizer.lr},
      {"optimizer.beta1", "0.9", &c.optimizer.beta1},
      {"optimizer.beta2", "0.95", &c.optimizer.beta2},
      {"optimizer.eps", "1e-08", &c.optimizer.eps},
      {"optimizer.momentum", "0.9", &c.optimizer.momentum},
      {"optimizer.weight_decay", "0.1", &c.optimizer.weight_decay},
      {"optimizer.decay", "'all'", &c.optimizer.decay},
      {"optimizer.clip", "1.0", &c.optimizer.clip},
      {"schedule.name", "'linear'", &c.schedule.name},
      {"schedule.warmup", "10", &c.schedule.warmup},
      {"schedule.decay", "100", &c.schedule.decay},
      {"schedule.final_fraction", "0.0", &c.schedule.final_fraction},
      {"validation.every", "100", &c.validation.every},
      {"validation.sequences", "32", &c.validation.sequences},
      {"log.update_every", "100", &c.log.update_every},
      {"checkpoint.every", checkpoint_every, &c.checkpoint.every},
      {"checkpoint.keep", "2", &c.checkpoint.keep},
      {"probe.every", "0", &c.probe.every},
      {"probe.layers", "'all'", &c.probe.layers},
      {"probe.sites", "[ 'residual' ]", &c.probe.sites},
      {"probe.sequences", "4", &c.probe.sequences},
      {"probe.ends", "'both'", &c.probe.ends},
      {"probe.tolerance", "0.01", &c.probe.tolerance},
      {"probe.certify", "0.05", &c.probe.certify},
      {"probe.confidence", "0.999", &c.probe.confidence},
      {"probe.max_iterations", "200", &c.probe.max_iterations},
      {"probe.sharpness", "false", &c.probe.sharpness},
      {"probe.sharpness_sequences", "0", &c.probe.sharpness_sequences},
      {"divergence.margin", "0.5", &c.divergence.margin},
      {"divergence.patience", "100", &c.divergence.patience},
      {"divergence.smoothing", "11", &c.divergence.smoothing},
      {"divergence.plateau_drop", "1.0", &c.divergence.plateau_drop},
      {"divergence.plateau_steps", "0", &c.divergence.plateau_steps},
      {"divergence.stop", "true", &c.stop_when_diverged},
  };
}

std::vector<ExpectedField> expected_of_sweep(SweepConfig& c) {
  std::vector<ExpectedField> expected = expected_of_training(c.train, "0");
  const std::vector<ExpectedField> own = {
      {"sweep.models", "[ 'new:llama2-20M-prenorm', 'new:llama2-20M-preqknorm', 'new:llama2-20M-simplegpt' ]",
       &c.models},
      {"sweep.seeds", "[ 0, 1, 2 ]", &c.seeds},
      {"sweep.lr.from", "0.001", &c.lr.from},
      {"sweep.lr.to", "0.1", &c.lr.to},
      {"sweep.lr.per_octave", "1.0", &c.lr.per_octave},
      {"sweep.bisect", "true", &c.bisect},
      {"sweep.factor", "1.189207115002721", &c.factor},  // 2^(1/4)
      {"sweep.jobs", "1", &c.jobs},
  };
  expected.insert(expected.end(), own.begin(), own.end());
  return expected;
}

/// Returns the variable that a key sets.
const void* variable_of(const ConfigTarget& target) {
  return std::visit(
      []<class Target>(const Target& variable) -> const void* {
        if constexpr (std::is_pointer_v<Target>) {
          return variable;
        } else {
          return nullptr;
        }
      },
      target);
}

void expect_fields(const ConfigFields& fields, const std::vector<ExpectedField>& expected) {
  ASSERT_EQ(fields.size(), expected.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    EXPECT_EQ(fields[i].key, expected[i].key);
    EXPECT_EQ(experiments::value_text(fields[i]), expected[i].value) << expected[i].key;
    EXPECT_EQ(variable_of(fields[i].target), variable_of(expected[i].member)) << expected[i].key;
  }
}

TEST(ConfigDefaults, OfEveryKeyOfATrainingRunAreAsDocumented) {
  TrainConfig config;
  read_config_text("", "text", train_fields(config));
  expect_fields(train_fields(config), expected_of_training(config));
}

TEST(ConfigDefaults, OfEveryKeyOfASweepAreThoseOfATrainingRunExceptThatItSavesNoCheckpoints) {
  SweepConfig config;
  read_config_text("", "text", sweep_fields(config));
  expect_fields(sweep_fields(config), expected_of_sweep(config));
}

TEST(ConfigDefaults, OfTheFolderIsTheNameOfTheFileWithoutItsEnding) {
  const support::TemporaryFolder folder;
  const std::string path = folder.write("of.two.toml", "steps = 20\n");
  EXPECT_EQ(experiments::load_train_config(path, {}).out, "of.two");
  EXPECT_EQ(experiments::load_sweep_config(path, {}).train.out, "of.two");
  EXPECT_EQ(experiments::load_train_config(path, {"out=elsewhere"}).out, "elsewhere");
  EXPECT_EQ(experiments::load_sweep_config(path, {"out=elsewhere"}).train.out, "elsewhere");
}

models::GptConfig architecture(const std::string& name, const TrainConfig::Model& overrides) {
  TrainConfig config;
  config.model = overrides;
  config.model.name = name;
  return architecture_of(config);
}

TEST(ConfigDefaults, OfAModelsShapeAreThoseOfItsSize) {
  for (const std::string name : {"new:gpt2-10M-prenorm", "new:llama2-20M-simplegpt", "new:llama3-8B-preqknorm"}) {
    const models::GptConfig named = models::parse_model_name(name, {});
    EXPECT_EQ(architecture(name, {.vocab_size = 0}), named) << name;
    models::GptConfig of_bytes = named;
    of_bytes.vocab_size = 256;
    EXPECT_EQ(architecture(name, {}), of_bytes) << name;
    EXPECT_EQ(architecture(name, {.n_layers = 3}).n_layers, 3);
    EXPECT_EQ(architecture(name, {.n_layers = 3}).dim, named.dim);
  }
}

TEST(ConfigDefaults, OfTheFeedForwardLayerFollowTheWidthInMultiplesOf32) {
  // 2 (4 64) / 3 = 170; the size itself has 768, a multiple of 256.
  EXPECT_EQ(architecture("new:llama2-20M-prenorm", {}).ffn_hidden_dim, 768);
  EXPECT_EQ(architecture("new:llama2-20M-prenorm", {.dim = 64}).ffn_hidden_dim, 192);
  EXPECT_EQ(architecture("new:llama2-20M-prenorm", {.dim = 64, .ffn_hidden_dim = 100}).ffn_hidden_dim, 100);
  EXPECT_EQ(architecture("new:gpt2-10M-prenorm", {.dim = 96}).ffn_hidden_dim, 384);
}

TEST(ConfigDefaults, OfTheHeadsAreUngroupedUnlessTheSizeGroupsThem) {
  const auto heads = [](const std::string& name, const TrainConfig::Model& overrides) {
    const models::GptConfig config = architecture(name, overrides);
    return std::vector{config.n_heads, config.n_kv_heads, config.head_dim};
  };
  using Numbers = std::vector<int64_t>;
  EXPECT_EQ(heads("new:llama2-20M-prenorm", {}), (Numbers{4, 4, 64}));
  EXPECT_EQ(heads("new:llama2-20M-prenorm", {.n_heads = 2}), (Numbers{2, 2, 128}));
  EXPECT_EQ(heads("new:llama2-20M-prenorm", {.n_kv_heads = 2}), (Numbers{4, 2, 64}));
  EXPECT_EQ(heads("new:llama3-8B-prenorm", {}), (Numbers{32, 8, 128}));
  EXPECT_EQ(heads("new:llama3-8B-prenorm", {.n_heads = 64}), (Numbers{64, 8, 64}));
  EXPECT_EQ(heads("new:llama3-8B-prenorm", {.n_heads = 64, .n_kv_heads = 16}), (Numbers{64, 16, 64}));
  // 8 key/value heads do not divide 4 heads. The groups of 4 stay.
  EXPECT_EQ(heads("new:llama3-8B-prenorm", {.dim = 64, .n_heads = 4}), (Numbers{4, 1, 16}));
  EXPECT_EQ(heads("new:llama3-8B-prenorm", {.dim = 64, .n_heads = 2}), (Numbers{2, 1, 32}));
}

TEST(ConfigDefaults, OfTheWidthOfAHeadKeepItsRatioToTheWidthOfTheModel) {
  const auto head_dim = [](const std::string& name, const TrainConfig::Model& overrides) {
    return architecture(name, overrides).head_dim;
  };
  EXPECT_EQ(head_dim("new:qwen3-0.6B", {.n_layers = 2}), 128);
  EXPECT_EQ(head_dim("new:qwen3-0.6B", {.dim = 64, .n_heads = 4}), 32);   // twice 64 / 4, as 128 is twice 1024 / 16
  EXPECT_EQ(head_dim("new:gemma2-2b", {.dim = 64, .n_heads = 4}), 14);    // 16 x 256 / 288 = 14.2
  EXPECT_EQ(head_dim("new:gemma3-270m", {.dim = 64, .n_heads = 4}), 26);  // 16 x 256 / 160 = 25.6
  EXPECT_EQ(head_dim("new:qwen2-0.5B", {.dim = 64, .n_heads = 4}), 16);
  EXPECT_EQ(head_dim("new:qwen3-0.6B", {.dim = 64, .n_heads = 4, .head_dim = 16}), 16);
  EXPECT_EQ(head_dim("new:llama2-20M", {.head_dim = 20}), 20);
}

TEST(ConfigDefaults, OfWhatFollowsTheWidthOfAHeadKeepItsShare) {
  EXPECT_EQ(architecture("new:pythia-70m", {}).rotated_dim, 16);
  EXPECT_EQ(architecture("new:pythia-70m", {.dim = 64, .n_heads = 2}).rotated_dim, 8);  // a quarter of 32
  EXPECT_EQ(architecture("new:pythia-70m", {.dim = 16, .n_heads = 4}).rotated_dim, 2);  // a quarter of 4, but a pair
  EXPECT_EQ(architecture("new:gemma2-27b", {}).query_scalar, 144);
  EXPECT_EQ(architecture("new:gemma2-27b", {.head_dim = 64}).query_scalar, 72);
  EXPECT_EQ(architecture("new:gemma2-2b", {.dim = 64, .n_heads = 4}).query_scalar, 0) << "which is head_dim";
}

TEST(ConfigDefaults, OfWindowsAndPatternsOfLayersAreThoseOfTheSize) {
  const models::GptConfig narrow = architecture("new:gemma3-270m", {.dim = 64, .n_layers = 7, .n_heads = 4});
  EXPECT_EQ(narrow.window, 512);
  EXPECT_TRUE(models::has_window(narrow, 4) && !models::has_window(narrow, 5) && models::has_window(narrow, 6));
  const models::GptConfig windows = architecture("new:gemma3-270m", {.window = 8, .window_pattern = "fw"});
  EXPECT_EQ(windows.window, 8);
  EXPECT_TRUE(!models::has_window(windows, 0) && models::has_window(windows, 1) && !models::has_window(windows, 2));
  const models::GptConfig rotated = architecture("new:smollm3-3B", {.rope_pattern = "nr"});
  EXPECT_TRUE(!models::has_rope(rotated, 0) && models::has_rope(rotated, 1));
  EXPECT_TRUE(models::has_rope(architecture("new:smollm3-3B", {.n_layers = 2}), 0));
}

// Every family can be narrowed to the size of a test, with no other keys than these.
TEST(ConfigDefaults, OfNarrowModelsAreValidInEveryFamily) {
  for (const models::NamedSize& size : models::named_sizes()) {
    const std::string name = std::string("new:") + models::to_string(size.config.family) + "-" + size.name;
    for (const int64_t heads : {1, 2, 4}) {
      const models::GptConfig narrow = architecture(name, {.dim = 32, .n_layers = 2, .n_heads = heads});
      EXPECT_EQ(narrow.placement, size.config.placement) << name;
      EXPECT_EQ(narrow.dim, 32) << name;
      EXPECT_EQ(narrow.n_heads, heads) << name;
      EXPECT_LT(models::parameter_count(narrow), 70000) << name;
    }
  }
}

TEST(ConfigDefaults, OfDivergenceLeaveOutThePlateauForAModelThatHasLeftItAlready) {
  TrainConfig config;
  config.divergence.margin = 0.75;
  config.divergence.plateau_drop = 2;
  EXPECT_EQ(divergence_of(config).plateau_drop, 2);
  config.model.name = "model.safetensors";
  EXPECT_EQ(divergence_of(config).plateau_drop, 0);
  EXPECT_EQ(divergence_of(config).margin, 0.75);
}

TEST(ConfigDefaults, OfTheSequencesOfTheSharpnessAreThoseOfAnUpdate) {
  TrainConfig config;
  config.data.batch_size = 4;
  config.data.accumulation = 3;
  config.probe.sequences = 2;
  config.probe.sharpness = true;
  EXPECT_EQ(sequences_per_update(config), 12);
  EXPECT_EQ(sharpness_sequences(config), 12);
  EXPECT_TRUE(sharpness_warnings(config).empty());
  config.probe.sharpness_sequences = 12;
  EXPECT_TRUE(sharpness_warnings(config).empty());
  config.probe.sharpness_sequences = 11;
  EXPECT_EQ(sharpness_sequences(config), 11);
  EXPECT_EQ(
      sharpness_warnings(config),
      std::vector<std::string>{"probe.sharpness_sequences is 11, fewer than the 12 of an update: the sharpness of "
                               "few sequences is biased upwards"});
  config.probe.sharpness = false;
  EXPECT_TRUE(sharpness_warnings(config).empty());
}

TEST(ConfigDefaults, OfTheScheduleAreTheMembersOfTheSameNames) {
  TrainConfig config;
  config.steps = 70;
  config.schedule = {"wsd", 3, 20, 0.25};
  const experiments::LearningRateSchedule schedule = schedule_of(config);
  EXPECT_EQ(schedule.name, "wsd");
  EXPECT_EQ(multiplier(schedule, 0), 0.25);  // the first of 3 steps of warm-up
  EXPECT_EQ(multiplier(schedule, 3), 1);
  EXPECT_EQ(multiplier(schedule, 49), 1);  // the decay begins 20 steps before the end
  EXPECT_NEAR(multiplier(schedule, 69), 0.25 + 0.75 / 20, 1e-12);
}

}  // namespace
}  // namespace hessian::tests
