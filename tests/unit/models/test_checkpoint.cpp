#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "formats/safetensors.h"
#include "hessian/models/checkpoint.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::load_checkpoint;
using hessian::support::Metadata;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;
using hessian::support::Tensors;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES;
const std::string small = fixtures + "/dense/llama3_simplegpt/model.safetensors";

/// Returns the refusal of the small fixture after a change of its tensors and metadata, without the path.
template <typename Change>
std::string refusal(const Change& change) {
  const TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  support::write_changed(small, path, change);
  return support::refusal_about(path, [&] { load_checkpoint(path); });
}

TEST(Checkpoint, ReadsEveryOfficialFixtureInPlaceAndInItsType) {
  for (const std::string set : {"reference", "dense"}) {
    for (const std::string family : {"llama2", "llama3"}) {
      for (const std::string norm : {"prenorm", "preqknorm", "simplegpt"}) {
        const std::string path = fixtures + "/" + set + "/" + family + "_" + norm + "/model.safetensors";
        const auto loaded = load_checkpoint(path);
        const auto raw = models::load_safetensors(path).tensors;
        EXPECT_STREQ(models::to_string(loaded.model.config.family), family.c_str());
        EXPECT_STREQ(models::to_string(loaded.model.config.placement), norm.c_str());
        EXPECT_EQ(loaded.description, family + " " + norm + " checkpoint");
        EXPECT_EQ(loaded.training_step, 0);
        ASSERT_EQ(loaded.model.parameters.size(), raw.size()) << path;
        for (const auto& [name, tensor] : loaded.model.parameters) {
          EXPECT_TRUE(tensor.equal(raw.at(name))) << path << " " << name;
          EXPECT_EQ(tensor.scalar_type(), at::kDouble);
        }
      }
    }
  }
}

TEST(Checkpoint, RecognisesTheKindsByContent) {
  const TemporaryFolder folder;
  std::filesystem::copy(fixtures + "/nanogpt/ckpt.pt", folder / "model.safetensors");
  EXPECT_EQ(load_checkpoint(folder / "model.safetensors").description, "nanoGPT checkpoint");
  EXPECT_EQ(load_checkpoint(fixtures + "/huggingface/llama_gqa").description, "Hugging Face LlamaForCausalLM");
  EXPECT_EQ(load_checkpoint(fixtures + "/huggingface/gpt2").description, "Hugging Face GPT2LMHeadModel");
  EXPECT_EQ(load_checkpoint(fixtures + "/formats/meta").description, "Meta Llama");
  EXPECT_EQ(load_checkpoint(fixtures + "/formats/dcp_flat").description, "torch.distributed checkpoint");
}

TEST(Checkpoint, RefusesOptionsThatTheKindDoesNotHave) {
  const auto refusal_with = [](const std::string& path, const models::LoadOptions& options) {
    return support::refusal_about<std::invalid_argument>(path, [&] { load_checkpoint(path, options); });
  };
  EXPECT_EQ(refusal_with(small, {.tanh_gelu = true}),
            "the tanh approximation of GELU can be chosen for nanoGPT checkpoints only");
  EXPECT_EQ(refusal_with(small, {.config_json = "{}"}),
            "has a configuration of its own; one can be given for torch.distributed.checkpoint only");
}

TEST(Checkpoint, ReadsBackWhatWasSaved) {
  const TemporaryFolder folder;
  for (const std::string source : {"/nanogpt/ckpt.pt", "/huggingface/llama_tied", "/huggingface/gpt2",
                                   "/reference/llama3_preqknorm/model.safetensors"}) {
    const auto original = load_checkpoint(fixtures + source).model;
    models::save_checkpoint(original, folder / "saved.safetensors", 1234);
    const auto [model, step, description] = load_checkpoint(folder / "saved.safetensors");
    EXPECT_EQ(step, 1234);
    EXPECT_EQ(model.config, original.config) << source;
    for (const auto& [name, tensor] : original.parameters) {
      EXPECT_TRUE(model.parameters.at(name).equal(tensor)) << source << " " << name;
    }
  }
}

TEST(Checkpoint, CanReplaceTheFileThatBacksItsTensors) {
  const TemporaryFolder folder;
  const std::string path = folder / "m.safetensors";
  std::filesystem::copy(small, path);
  const auto model = load_checkpoint(path).model;
  models::save_checkpoint(model, path, 1);
  for (const auto& [name, tensor] : load_checkpoint(path).model.parameters) {
    EXPECT_TRUE(tensor.equal(model.parameters.at(name))) << name;
  }
}

TEST(Checkpoint, IgnoresTheRopeTable) {
  const TemporaryFolder folder;
  support::write_changed(small, folder / "m.safetensors", [](Tensors& tensors, Metadata&) {
    tensors["freqs_cis"] = at::ones({8, 4}, at::kComplexFloat);
  });
  EXPECT_NO_THROW(load_checkpoint(folder / "m.safetensors"));
}

TEST(Checkpoint, NamesTheTensorThatIsWrong) {
  const std::string name = "layers.0.attention.snq.lin.weight";
  const auto complaint = [&](const auto& change) {
    return refusal([&](Tensors& tensors, Metadata&) { change(tensors); });
  };
  for (const std::string& message :
       {complaint([&](Tensors& tensors) { tensors.erase(name); }), complaint([&](Tensors& tensors) {
          tensors[name] = at::zeros({16, 15});
        }),
        complaint(
            [&](Tensors& tensors) { tensors[name] = tensors[name].index_fill(0, at::tensor({3}, at::kLong), NAN); }),
        complaint([&](Tensors& tensors) { tensors[name] = tensors[name].to(at::kLong); })}) {
    EXPECT_TRUE(message.starts_with("tensor '" + name + "' ")) << message;
  }
  const std::string extra = complaint([](Tensors& tensors) { tensors["stray"] = at::zeros({2}); });
  EXPECT_TRUE(extra.starts_with("tensor 'stray' ")) << extra;
}

TEST(Checkpoint, SaysWhatIsWrongWithTheMetadata) {
  const auto complaint = [](const char* key, const std::string& value) {
    return refusal([&](Tensors&, Metadata& metadata) { metadata[key] = value; });
  };
  EXPECT_EQ(complaint("step", "-3"), "__metadata__['step'] is '-3', expected a non-negative integer");
  EXPECT_EQ(complaint("step", "12x"), "__metadata__['step'] is '12x', expected a non-negative integer");
  EXPECT_NE(complaint("config", "{"), "");
  EXPECT_NE(complaint("config", R"({"family":"llama9"})"), "");
  EXPECT_EQ(refusal([](Tensors&, Metadata& metadata) { metadata.erase("config"); }).substr(0, 62),
            "has no __metadata__[\"config\"], so the architecture is unknown;");
}

TEST(Checkpoint, SaysWhichKindsAreAccepted) {
  const TemporaryFolder folder;
  const std::string kinds =
      "accepted are a model.safetensors with __metadata__[\"config\"], a llama2.c ckpt.pt, a nanoGPT ckpt.pt, a "
      "GGUF file, a Hugging Face folder, a folder with Meta's params.json, a folder of torch.distributed.checkpoint, "
      "and "
      "new:NAME for a new model";
  const auto path = folder.write("notes.txt", "hello, world");
  EXPECT_EQ(refusal_of([&] { load_checkpoint(path); }), path + ": is not a checkpoint in a known form; " + kinds);
  EXPECT_EQ(refusal_of([&] { load_checkpoint(folder.path()); }),
            folder.path() + ": is a folder without config.json, params.json or .metadata; " + kinds);
  EXPECT_EQ(refusal_of([&] { load_checkpoint(folder / "absent"); }), (folder / "absent") + ": no such file");
}

}  // namespace
}  // namespace hessian::tests
