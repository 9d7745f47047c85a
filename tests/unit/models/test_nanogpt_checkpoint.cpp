#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "checkpoints/nanogpt_checkpoint.h"
#include "fixtures.h"
#include "formats/torch_checkpoint.h"
#include "hessian/models/checkpoint.h"
#include "loader_support.h"
#include "refusal.h"

using hessian::models::load_nanogpt_checkpoint;
using hessian::support::refusal_of;
using hessian::support::TemporaryFolder;

namespace hessian::tests {
namespace {

const std::string fixture = HESSIAN_FIXTURES "/nanogpt/ckpt.pt";

/// Writes a checkpoint with the generator of the programs' tests, which is independent of the reader.
std::string make_checkpoint(const TemporaryFolder& folder, const std::string& options) {
  const std::string path = folder / "ckpt.pt";
  const std::string command = "python3 '" HESSIAN_CLI_TESTS "/make_nanogpt_checkpoint.py' '" + path + "' " + options;
  if (std::system(command.c_str()) != 0) {  // NOLINT(cert-env33-c,concurrency-mt-unsafe)
    throw std::runtime_error("cannot run: " + command);
  }
  return path;
}

/// Returns the refusal of a generated checkpoint, without the path.
std::string refusal(const TemporaryFolder& folder, const std::string& options) {
  const std::string path = make_checkpoint(folder, options);
  return support::refusal_about(path, [&] { load_nanogpt_checkpoint(path); });
}

hessian::Parameters raw_state_dict(const std::string& path) {
  const auto checkpoint = models::TorchCheckpoint::open(path);
  const auto& values = checkpoint.values();
  return checkpoint.state_dict(values.find(values.root(), "model").value());
}

TEST(NanoGptCheckpoint, GivesTheArchitectureOfTheFixture) {
  const auto [model, step] = load_nanogpt_checkpoint(fixture);
  models::GptConfig expected;
  expected.family = models::Family::gpt2;
  expected.activation = models::Activation::gelu;
  expected.dim = 64;
  expected.n_layers = 3;
  expected.n_heads = 4;
  expected.n_kv_heads = 4;
  expected.head_dim = 16;
  expected.ffn_hidden_dim = 256;
  expected.vocab_size = 65;
  expected.max_seq_len = 32;
  models::set_all_biases(expected, true);
  expected.tied_head = true;
  EXPECT_EQ(model.config, expected);
  EXPECT_EQ(step, 1);
}

TEST(NanoGptCheckpoint, SplitsTheFixturesTensors) {
  const auto model = load_nanogpt_checkpoint(fixture).model;
  const auto raw = raw_state_dict(fixture);
  const auto& parameters = model.parameters;
  EXPECT_TRUE(parameters.at("tok_embeddings.weight").equal(raw.at("transformer.wte.weight")));
  EXPECT_TRUE(parameters.at("pos_embeddings.weight").equal(raw.at("transformer.wpe.weight")));
  EXPECT_TRUE(parameters.at("norm.bias").equal(raw.at("transformer.ln_f.bias")));
  EXPECT_FALSE(parameters.contains("output.weight"));
  for (const std::string layer : {"0", "1", "2"}) {
    const std::string from = "transformer.h." + layer + ".";
    const std::string to = "layers." + layer + ".";
    const auto qkv = raw.at(from + "attn.c_attn.weight");
    EXPECT_TRUE(at::cat({parameters.at(to + "attention.wq.weight"), parameters.at(to + "attention.wk.weight"),
                         parameters.at(to + "attention.wv.weight")})
                    .equal(qkv));
    EXPECT_TRUE(parameters.at(to + "attention.wk.bias").equal(raw.at(from + "attn.c_attn.bias").slice(0, 64, 128)));
    EXPECT_TRUE(parameters.at(to + "attention.wo.weight").equal(raw.at(from + "attn.c_proj.weight")));
    EXPECT_TRUE(parameters.at(to + "attention_norm.weight").equal(raw.at(from + "ln_1.weight")));
    EXPECT_TRUE(parameters.at(to + "ffn_norm.bias").equal(raw.at(from + "ln_2.bias")));
    EXPECT_TRUE(parameters.at(to + "feed_forward.w1.weight").equal(raw.at(from + "mlp.c_fc.weight")));
    EXPECT_TRUE(parameters.at(to + "feed_forward.w2.bias").equal(raw.at(from + "mlp.c_proj.bias")));
  }
}

TEST(NanoGptCheckpoint, RemovesPrefixesInAnyOrder) {
  const TemporaryFolder folder;
  const auto plain = load_nanogpt_checkpoint(make_checkpoint(folder, "--seed 3"));
  for (const std::string prefix : {"_orig_mod.", "module.", "_orig_mod.module.", "module._orig_mod.",
                                   "module._fsdp_wrapped_module.", "_fsdp_wrapped_module._orig_mod."}) {
    const auto prefixed = load_nanogpt_checkpoint(make_checkpoint(folder, "--seed 3 --prefix " + prefix));
    ASSERT_EQ(prefixed.model.parameters.size(), plain.model.parameters.size());
    for (const auto& [name, tensor] : plain.model.parameters) {
      EXPECT_TRUE(prefixed.model.parameters.at(name).equal(tensor)) << prefix << " " << name;
    }
    EXPECT_EQ(prefixed.training_step, 5);
  }
}

TEST(NanoGptCheckpoint, ReadsEveryFormOfATensorAndOfANumber) {
  const TemporaryFolder folder;
  const auto plain = load_nanogpt_checkpoint(make_checkpoint(folder, "--seed 3 --step 7"));
  for (const std::string options : {"--form parameter", "--form attribute", "--form subclass --protocol 4",
                                    "--numpy-scalars", "--numpy-scalars --protocol 4", "--tensor-step"}) {
    const auto [model, step] = load_nanogpt_checkpoint(make_checkpoint(folder, "--seed 3 --step 7 " + options));
    EXPECT_EQ(model.config, plain.model.config) << options;
    EXPECT_EQ(step, 7) << options;
    for (const auto& [name, tensor] : plain.model.parameters) {
      EXPECT_TRUE(model.parameters.at(name).equal(tensor)) << options << " " << name;
    }
  }
}

TEST(NanoGptCheckpoint, ReadsBroadcastTensors) {
  const TemporaryFolder folder;
  const std::string options = "--broadcast transformer.h.1.ln_2.bias --broadcast transformer.h.0.attn.c_attn.weight";
  for (const auto access : {models::WeightAccess::ready, models::WeightAccess::deferred}) {
    const auto parameters =
        load_nanogpt_checkpoint(make_checkpoint(folder, options), access).model.parameters.to(at::kCPU, at::kFloat);
    EXPECT_TRUE(parameters.at("layers.1.ffn_norm.bias").equal(at::full({16}, 0.25)));
    EXPECT_TRUE(parameters.at("layers.0.attention.wk.weight").equal(at::full({16, 16}, 0.25)));
  }
}

// Until June 2023 nanoGPT computed GELU by its tanh approximation.
TEST(NanoGptCheckpoint, ComputesGeluAsItIsTold) {
  const auto exact = models::load_checkpoint(fixture).model;
  const auto approximate = models::load_checkpoint(fixture, {.tanh_gelu = true}).model;
  EXPECT_EQ(exact.config.activation, models::Activation::gelu);
  EXPECT_EQ(approximate.config.activation, models::Activation::gelu_tanh);
  const at::Tensor tokens = at::arange(16, at::kLong).view({1, 16});
  const auto logits = [&](const models::Model& model) {
    const models::Forward forward(model);
    return forward.logits(support::residuals_of(forward, tokens).back());
  };
  const double change = support::relative_error(logits(approximate), logits(exact));
  EXPECT_GT(change, 1e-6);  // the approximation is off by at most 5e-4
  EXPECT_LT(change, 1e-2);
  const std::string llama = HESSIAN_FIXTURES "/huggingface/llama_tied";
  EXPECT_EQ(refusal_of<std::invalid_argument>([&] { models::load_checkpoint(llama, {.tanh_gelu = true}); }),
            llama + ": the tanh approximation of GELU can be chosen for nanoGPT checkpoints only");
}

// nanoGPT's train.py overwrites its last checkpoint in place, possibly while another program reads it.
TEST(NanoGptCheckpoint, KeepsItsWeightsWhenTheFileIsOverwritten) {
  const TemporaryFolder folder;
  const std::string path = make_checkpoint(folder, "--seed 3");
  const auto model = load_nanogpt_checkpoint(path).model;
  std::vector<at::Tensor> before;
  for (const auto& [name, tensor] : model.parameters) {
    before.push_back(tensor.clone());
  }
  const auto size = std::filesystem::file_size(path);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary) << std::string(size, '\xff');
  std::size_t index = 0;
  for (const auto& [name, tensor] : model.parameters) {
    EXPECT_TRUE(tensor.equal(before[index++])) << name;
  }
}

TEST(NanoGptCheckpoint, ReadsEveryProtocolAndModelsWithoutBiases) {
  const TemporaryFolder folder;
  for (const std::string protocol : {"2", "3", "4", "5"}) {
    const auto [model, step] =
        load_nanogpt_checkpoint(make_checkpoint(folder, "--no-bias --mask-buffer --step 70000 --protocol " + protocol));
    EXPECT_FALSE(model.config.norm_bias);
    EXPECT_FALSE(model.parameters.contains("norm.bias"));
    EXPECT_EQ(model.parameters.at("layers.1.feed_forward.w1.weight").sizes(), at::IntArrayRef({64, 16}));
    EXPECT_EQ(step, 70000);
  }
}

// nanoGPT's GPTConfig has `bias: bool = True`, which older checkpoints do not store.
TEST(NanoGptCheckpoint, HasBiasesAndStepZeroIfItDoesNotSay) {
  const TemporaryFolder folder;
  const auto complete = load_nanogpt_checkpoint(make_checkpoint(folder, ""));
  const auto [model, step] = load_nanogpt_checkpoint(make_checkpoint(folder, "--omit bias --omit iter_num"));
  EXPECT_TRUE(model.config.norm_bias);
  EXPECT_EQ(model.config, complete.model.config);
  EXPECT_TRUE(model.parameters.contains("norm.bias"));
  EXPECT_EQ(complete.training_step, 5);
  EXPECT_EQ(step, 0);
}

TEST(NanoGptCheckpoint, NamesTheArgumentThatIsAbsent) {
  const TemporaryFolder folder;
  for (const std::string key : {"n_layer", "n_head", "n_embd", "block_size", "vocab_size"}) {
    EXPECT_EQ(refusal(folder, "--omit " + key), "'model_args' has no '" + key + "'");
  }
  for (const std::string key : {"model_args", "model"}) {
    EXPECT_EQ(refusal(folder, "--omit " + key),
              "has no '" + key + "'; a nanoGPT checkpoint is a dict with 'model', 'model_args' and 'iter_num'");
  }
}

TEST(NanoGptCheckpoint, NeverCallsFunctionsThatAFileNames) {
  const TemporaryFolder folder;
  const std::string command = "--command 'touch " + (folder / "owned") + "'";
  const auto harmless = load_nanogpt_checkpoint(make_checkpoint(folder, command));
  EXPECT_EQ(harmless.training_step, 5);
  EXPECT_EQ(refusal(folder, command + " --command-key model"),
            "the state dict is a call of 'posix system', expected a dict");
  EXPECT_EQ(refusal(folder, command + " --command-key model_args"),
            "'model_args' is a call of 'posix system', expected a dict");
  EXPECT_EQ(refusal(folder, command + " --command-key iter_num"),
            "'iter_num' is a call of 'posix system', expected a non-negative integer");
  EXPECT_FALSE(std::filesystem::exists(folder / "owned"));
}

TEST(NanoGptCheckpoint, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_EQ(refusal(folder, "--untied-head"),
            "tensor 'lm_head.weight' differs from the token embedding, to which it should be tied");
  EXPECT_EQ(refusal(folder, "--drop transformer.h.1.mlp.c_fc.weight"),
            "tensor 'h.1.mlp.c_fc.weight' [64, 16] is absent");
  EXPECT_EQ(refusal(folder, "--claim-dim 32"), "tensor 'transformer.wte.weight' is [65, 16], expected [65, 32]");
  EXPECT_EQ(refusal(folder, "--claim-dim 15"), "model_args 'n_head' is 2, which does not divide 'n_embd' 15");
  EXPECT_EQ(
      refusal(folder, "--compress"),
      "zip entry 'ckpt/data.pkl' is compressed (method 8); torch.save stores without compression, so save it with "
      "that");
}

TEST(NanoGptCheckpoint, RefusesTheFixtureCutAnywhere) {
  const TemporaryFolder folder;
  const std::string whole = support::read_file(fixture);
  for (std::size_t part = 0; part < 40; ++part) {
    const auto path = folder.write("cut.pt", whole.substr(0, 1 + whole.size() * part / 40));
    EXPECT_TRUE(refusal_of([&] { models::load_checkpoint(path); }).starts_with(path + ": ")) << part << "/40";
  }
}

TEST(NanoGptCheckpoint, ReadsOrRefusesDamagedFilesButNeverCrashes) {
  const TemporaryFolder folder;
  const std::string whole = support::read_file(make_checkpoint(folder, "--dim 4 --layers 1 --vocab 5 --block-size 4"));
  for (std::size_t position = 0; position < whole.size(); position += 5) {
    std::string changed = whole;
    changed[position] = static_cast<char>(~changed[position]);
    const auto path = folder.write("damaged.pt", changed);
    const auto message = support::possible_refusal([&] { models::load_checkpoint(path); });
    EXPECT_TRUE(!message || (message->starts_with(path + ": ") && message->find('\n') == std::string::npos))
        << "byte " << position << ": " << message.value_or("");
  }
}

}  // namespace
}  // namespace hessian::tests
