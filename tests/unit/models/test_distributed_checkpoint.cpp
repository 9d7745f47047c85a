#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "checkpoints/distributed_model.h"
#include "formats/distributed_checkpoint.h"
#include "hessian/models/checkpoint.h"
#include "refusal.h"
#include "torch_files.h"

using hessian::models::load_distributed_model;
using hessian::models::WeightAccess;
using hessian::support::TemporaryFolder;
using hessian::support::WrittenChunk;

namespace hessian::tests {
namespace {

const std::string fixtures = HESSIAN_FIXTURES "/formats/";

models::GptConfig expected_config(models::Family family, models::Placement placement, int64_t heads, int64_t kv_heads) {
  models::GptConfig config;
  config.family = family;
  config.placement = placement;
  config.dim = 32;
  config.n_layers = 2;
  config.n_heads = heads;
  config.n_kv_heads = kv_heads;
  config.head_dim = 32 / heads;
  config.ffn_hidden_dim = 32;
  config.vocab_size = 97;
  config.max_seq_len = 64;
  config.norm_eps = 1e-5;
  config.rope_theta = family == models::Family::llama3 ? 500000 : 10000;
  return config;
}

/// Returns the weights of a small model, and its table for RoPE, in whole chunks.
std::vector<WrittenChunk> small_chunks() {
  auto config = expected_config(models::Family::llama2, models::Placement::prenorm, 2, 2);
  config.ffn_hidden_dim = 24;
  config.n_layers = 1;
  std::vector<WrittenChunk> chunks;
  const auto add = [&](const std::string& name, const at::Tensor& tensor) {
    chunks.push_back(
        {name, tensor.sizes().vec(), std::vector<std::int64_t>(static_cast<std::size_t>(tensor.dim()), 0), tensor});
  };
  for (const auto& [name, tensor] : models::initialise_model(config, 1).parameters) {
    add(name, tensor);
  }
  const at::Tensor angles = at::outer(at::arange(20, at::kFloat), at::pow(10000.0F, at::arange(8, at::kFloat) / -8.0F));
  add("freqs_cis", at::polar(at::ones_like(angles), angles));
  return chunks;
}

WrittenChunk& chunk_of(std::vector<WrittenChunk>& chunks, const std::string& name) {
  return *std::ranges::find(chunks, name, &WrittenChunk::name);
}

/// Returns the refusal of the small model after a change of its chunks, without the folder.
template <typename Change>
std::string refusal(const Change& change, const support::PickledEntries& place_fields = {}) {
  const TemporaryFolder folder;
  auto chunks = small_chunks();
  change(chunks);
  support::write_distributed(folder, chunks, place_fields);
  const std::string message = support::refusal_of([&] { models::load_checkpoint(folder.path()); });
  return support::without_prefix(message, folder.path()).substr(1);
}

TEST(DistributedCheckpoint, DerivesTheArchitectureOfTheFixtures) {
  using models::Family;
  using models::Placement;
  const auto config_of = [](const std::string& name) { return load_distributed_model(fixtures + name).model.config; };
  EXPECT_EQ(config_of("dcp_model"), expected_config(Family::llama3, Placement::simplegpt, 4, 2));
  EXPECT_EQ(config_of("dcp_sharded"), expected_config(Family::llama3, Placement::preqknorm, 4, 2));
  auto flat = expected_config(Family::llama2, Placement::prenorm, 2, 2);
  flat.ffn_hidden_dim = 48;
  EXPECT_EQ(config_of("dcp_flat"), flat);
}

TEST(DistributedCheckpoint, ListsTensorsAndTheirChunks) {
  const std::string file = support::read_file(fixtures + "dcp_sharded/.metadata");
  const auto tensors = models::parse_distributed_metadata(support::as_bytes(file), ".metadata");
  const auto embedding = std::ranges::find(tensors, "model.tok_embeddings.weight", &models::DistributedTensor::name);
  ASSERT_NE(embedding, tensors.end());
  EXPECT_EQ(embedding->type, models::StoredType::f32);
  EXPECT_EQ(embedding->shape, (std::vector<std::int64_t>{97, 32}));
  ASSERT_EQ(embedding->chunks.size(), 2U);
  EXPECT_EQ(embedding->chunks[0].file, "__0_0.distcp");
  EXPECT_EQ(embedding->chunks[1].file, "__1_0.distcp");
  EXPECT_EQ(embedding->chunks[1].offsets, (std::vector<std::int64_t>{49, 0}));
  EXPECT_EQ(embedding->chunks[1].shape, (std::vector<std::int64_t>{48, 32}));
}

TEST(DistributedCheckpoint, StreamsJoinedWeights) {
  for (const std::string name : {"dcp_model", "dcp_flat", "dcp_sharded"}) {
    const auto ready = load_distributed_model(fixtures + name).model.parameters;
    const auto deferred = load_distributed_model(fixtures + name, WeightAccess::deferred).model.parameters;
    const auto loaded = deferred.to(at::kCPU, at::kFloat);
    for (const auto& [key, tensor] : ready) {
      EXPECT_TRUE(loaded.at(key).equal(tensor)) << name << " " << key;
    }
    const at::Tensor ids = at::tensor({96, 0, 48, 49, 96}, at::kLong);
    EXPECT_TRUE(
        deferred.rows("tok_embeddings.weight", ids).equal(ready.at("tok_embeddings.weight").index_select(0, ids)));
  }
}

TEST(DistributedCheckpoint, JoinsBoxesOfBothAxes) {
  const TemporaryFolder folder;
  auto chunks = small_chunks();
  const auto whole = chunk_of(chunks, "output.weight");
  std::erase_if(chunks, [](const WrittenChunk& chunk) { return chunk.name == "output.weight"; });
  for (const auto& [row, rows] : {std::pair<int64_t, int64_t>(0, 40), {40, 57}}) {
    for (const auto& [column, columns] : {std::pair<int64_t, int64_t>(0, 5), {5, 27}}) {
      chunks.push_back({whole.name,
                        whole.shape,
                        {row, column},
                        whole.tensor.narrow(0, row, rows).narrow(1, column, columns),
                        row == 0 ? "a.distcp" : "b.distcp"});
    }
  }
  support::write_distributed(folder, chunks);
  EXPECT_TRUE(load_distributed_model(folder.path()).model.parameters.at("output.weight").equal(whole.tensor));
  const auto deferred = load_distributed_model(folder.path(), WeightAccess::deferred).model.parameters;
  EXPECT_TRUE(deferred.fetched({"output.weight"}).at("output.weight").equal(whole.tensor));
  const at::Tensor ids = at::tensor({39, 40, 96}, at::kLong);
  EXPECT_TRUE(deferred.rows("output.weight", ids).equal(whole.tensor.index_select(0, ids)));
}

TEST(DistributedCheckpoint, FindsTheModelAmongOtherEntries) {
  const auto check = [](const std::string& prefix) {
    const TemporaryFolder folder;
    auto chunks = small_chunks();
    for (auto& chunk : chunks) {
      chunk.name = prefix + chunk.name;
    }
    chunks.push_back({"optimizer.state.tok_embeddings.weight.exp_avg", {2}, {0}, at::ones({2})});
    chunks.push_back({"train_state.step", {}, {}, at::scalar_tensor(3, at::kLong)});
    support::write_distributed(folder, chunks);
    const auto [model, step] = load_distributed_model(folder.path());
    EXPECT_EQ(model.config.dim, 32) << prefix;
    EXPECT_EQ(step, 3);
  };
  for (const std::string prefix : {"", "model.", "app.model.", "model._orig_mod.", "module.", "ema.model."}) {
    check(prefix);
  }
  EXPECT_EQ(refusal([](auto& chunks) {
              for (const auto& chunk : small_chunks()) {
                chunks.push_back(chunk);
                chunks.back().name = "ema." + chunk.name;
              }
              for (auto& chunk : chunks) {
                chunk.name = "two." + chunk.name;
              }
            }),
            " holds several models: 'two.' and 'two.ema.'");
}

TEST(DistributedCheckpoint, ReadsTheTrainingStep) {
  EXPECT_EQ(models::load_checkpoint(fixtures + "dcp_model").training_step, 10);
  EXPECT_EQ(models::load_checkpoint(fixtures + "dcp_flat").training_step, 0);
  EXPECT_EQ(refusal([](auto& chunks) {
              chunks.push_back({"train_state.step", {2}, {0}, at::ones({2}, at::kLong)});
            }),
            " tensor 'train_state.step' [2] holds I64, expected one non-negative integer");
}

TEST(DistributedCheckpoint, TakesAConfigurationForWhatCannotBeDerived) {
  const TemporaryFolder folder;
  auto chunks = small_chunks();
  std::erase_if(chunks, [](const WrittenChunk& chunk) { return chunk.name == "freqs_cis"; });
  support::write_distributed(folder, chunks);
  EXPECT_EQ(support::refusal_about(folder.path(), [&] { models::load_checkpoint(folder.path()); }),
            "has no tensor 'freqs_cis', from which the width of a head and the base of RoPE follow; give its "
            "configuration as JSON");
  auto config = expected_config(models::Family::llama2, models::Placement::postnorm, 4, 4);
  config.ffn_hidden_dim = 24;
  config.n_layers = 1;
  EXPECT_EQ(models::load_checkpoint(folder.path(), {.config_json = config_to_json(config)}).model.config, config);
  config.n_layers = 2;
  EXPECT_EQ(
      support::refusal_about(folder.path(),
                             [&] { models::load_checkpoint(folder.path(), {.config_json = config_to_json(config)}); }),
      "tensor 'layers.1.attention.wq.weight' [32, 32] is absent");
}

TEST(DistributedCheckpoint, NoticesMissingAndRepeatedChunks) {
  const auto halve = [](std::vector<WrittenChunk>& chunks, int64_t second_row, int64_t second_rows) {
    WrittenChunk& first = chunk_of(chunks, "norm.weight");
    WrittenChunk second = first;
    second.tensor = first.tensor.narrow(0, second_row, second_rows);
    second.offsets = {second_row};
    first.tensor = first.tensor.narrow(0, 0, 16);
    chunks.insert(chunks.begin() + (&first - chunks.data()) + 1, second);
  };
  EXPECT_EQ(refusal([&](auto& chunks) { chunk_of(chunks, "norm.weight").tensor = at::ones({16}); }),
            " tensor 'norm.weight' [32] has 16 of its 32 elements; a piece is missing");
  EXPECT_EQ(refusal([&](auto& chunks) { halve(chunks, 20, 12); }),
            " tensor 'norm.weight' [32] has 28 of its 32 elements; a piece is missing");
  EXPECT_EQ(refusal([&](auto& chunks) { halve(chunks, 12, 20); }),
            " tensor 'norm.weight' [32] has the element at [12] in two pieces");
  EXPECT_EQ(refusal([&](auto& chunks) { halve(chunks, 0, 16); }),
            ".metadata: tensor 'norm.weight' has the chunk at [0] twice");
  EXPECT_EQ(refusal([&](auto& chunks) { chunk_of(chunks, "norm.weight").offsets = {1}; }),
            " tensor 'norm.weight' [32] has a piece [32] at [1], which is outside it");
}

TEST(DistributedCheckpoint, SaysWhatIsWrong) {
  const auto erased = [](const char* name) {
    return refusal(
        [&](auto& chunks) { std::erase_if(chunks, [&](const WrittenChunk& chunk) { return chunk.name == name; }); });
  };
  EXPECT_EQ(erased("tok_embeddings.weight"),
            " holds no tensor 'tok_embeddings.weight'; accepted are the names of Meta's Llama and of SimpleGPT");
  EXPECT_EQ(erased("layers.0.attention.wv.weight"), " tensor 'layers.0.attention.wv.weight' [32, 32] is absent");
  EXPECT_EQ(erased("layers.0.attention.wq.weight"), " tensor 'layers.0.attention.wq.weight' is absent");
  EXPECT_EQ(refusal([](auto& chunks) {
              chunk_of(chunks, "norm.weight").tensor = at::ones({31});
              chunk_of(chunks, "norm.weight").shape = {31};
            }),
            " tensor 'norm.weight' is [31], expected [32]");
  EXPECT_EQ(
      refusal([](auto& chunks) { chunk_of(chunks, "freqs_cis").tensor.mul_(2); }),
      " has a table 'freqs_cis' that is not exp(i t base^(-2j/width)) for any base; give its configuration as JSON");
  EXPECT_EQ(refusal([](auto& chunks) {
              auto& chunk = chunk_of(chunks, "norm.weight");
              chunk.tensor = chunk.tensor.to(at::kHalf);  // which the writer calls float8
            }),
            ".metadata: tensor 'norm.weight' has the type 'torch float8_e4m3fn', which is not read here; float, half, "
            "bfloat16 and integer types are");
  EXPECT_EQ(refusal([](auto& chunks) {
              chunks.push_back({"layers.0.attention.wq.bias", {32}, {0}, at::ones({32})});
            }),
            " tensor 'layers.0.attention.wq.bias' [32] is not part of this architecture");
}

TEST(DistributedCheckpoint, ReadsOnlyFilesOfItsFolder) {
  const auto nothing = [](auto&) {};
  const auto located = [&](const std::string& file) {
    return refusal(nothing, {{"relative_path", support::pickled(file)}});
  };
  for (const std::string file : {"../secret", "/etc/passwd", ".hidden", "a/b", ""}) {
    EXPECT_EQ(located(file), ".metadata: tensor 'tok_embeddings.weight' is in the file '" + file +
                                 "', expected the name of a file in the same folder");
  }
  EXPECT_EQ(located("absent.distcp"), " has no 'absent.distcp', in which tensor 'tok_embeddings.weight' is");
  EXPECT_EQ(refusal(nothing, {{"transform_descriptors", support::pickled_list({support::pickled("zstd")})}}),
            ".metadata: tensor 'tok_embeddings.weight' is stored compressed or transformed, which is not read here");
  EXPECT_EQ(refusal(nothing, {{"length", support::pickled(-1)}}),
            ".metadata: tensor 'tok_embeddings.weight' has a damaged place, expected a file, an offset and a length");
  EXPECT_TRUE(
      refusal(nothing, {{"length", support::pickled(std::int64_t{1} << 62)}}).ends_with("; the file is cut short"));
}

TEST(DistributedCheckpoint, RefusesMetadataOfOtherKinds) {
  const auto refusal_of_pickle = [](const std::string& value) {
    return support::refusal_of(
        [&] { models::parse_distributed_metadata(support::as_bytes(support::whole_pickle(value)), "m"); });
  };
  const std::string complaint =
      "m: has no dict 'state_dict_metadata', so it is not the .metadata of torch.distributed.checkpoint";
  EXPECT_EQ(refusal_of_pickle("N"), complaint);
  EXPECT_EQ(refusal_of_pickle("}"), complaint);
  EXPECT_EQ(refusal_of_pickle(support::pickled_object("a", "Metadata", "}")), complaint);
}

TEST(DistributedCheckpoint, RefusesDamagedFilesInOneLine) {
  const TemporaryFolder folder;
  const std::string origin = fixtures + "dcp_sharded/";
  const auto restore = [&] {
    for (const std::string name : {".metadata", "__0_0.distcp", "__1_0.distcp"}) {
      std::filesystem::copy_file(origin + name, folder / name, std::filesystem::copy_options::overwrite_existing);
    }
  };
  for (const std::string name : {".metadata", "__1_0.distcp"}) {
    restore();
    const std::string whole = support::read_file(origin + name);
    for (std::size_t share = 0; share < 20; ++share) {
      folder.write(name, whole.substr(0, 1 + whole.size() * share / 20));
      EXPECT_TRUE(
          support::refusal_of([&] { load_distributed_model(folder.path()); }).starts_with(folder / name + ": "));
    }
    for (std::size_t position = 0; position < whole.size(); position += whole.size() / 150) {
      std::string changed = whole;
      changed[position] = static_cast<char>(~changed[position]);
      folder.write(name, changed);
      const auto message = support::possible_refusal([&] { load_distributed_model(folder.path()); });
      EXPECT_TRUE(!message || (message->starts_with(folder.path()) && message->find('\n') == std::string::npos))
          << name << " byte " << position << ": " << message.value_or("");
    }
  }
}

}  // namespace
}  // namespace hessian::tests
