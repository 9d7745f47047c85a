#include "checkpoints/distributed_model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "checkpoints/rope_base.h"
#include "checkpoints/stored_tensors.h"
#include "checkpoints/wrapper_prefixes.h"
#include "formats/distributed_checkpoint.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* embedding_name = "tok_embeddings.weight";
constexpr const char* rope_table_name = "freqs_cis";

/// Reads the chunks of tensors from the files of a folder, each of which is mapped once.
class ChunkReader {
 public:
  explicit ChunkReader(const std::string& folder) : folder_(folder) {}

  StoredTensor read(const DistributedTensor& tensor) {
    if (!tensor.type) {
      fail((folder_ / ".metadata").string(),
           "tensor {} has the type {}, which is not read here; float, half, bfloat16 and integer types are",
           name_text(tensor.name), name_text(tensor.dtype));
    }
    StoredTensor result{tensor.name, *tensor.type, tensor.shape, {}};
    for (const DistributedChunk& chunk : tensor.chunks) {
      result.pieces.push_back(read(tensor, chunk));
    }
    return result;
  }

 private:
  StoredPiece read(const DistributedTensor& tensor, const DistributedChunk& chunk) {
    if (chunk.file.empty()) {
      fail((folder_ / ".metadata").string(), "does not say where the chunk {} of tensor {} at {} is",
           shape_text(chunk.shape), name_text(tensor.name), shape_text(chunk.offsets));
    }
    const std::string path = (folder_ / chunk.file).string();
    const auto& file = open(chunk.file, path, tensor.name);
    const std::uint64_t file_size = file->bytes().size();
    if (chunk.begin > file_size || chunk.size > file_size - chunk.begin) {
      fail(path, "ends at byte {}, but tensor {} is at bytes {} to {}; the file is cut short", file_size,
           name_text(tensor.name), chunk.begin, chunk.begin + chunk.size);
    }
    const TorchArchive archive(
        file->bytes().subspan(static_cast<std::size_t>(chunk.begin), static_cast<std::size_t>(chunk.size)), path);
    ArchivedTensor place = archive.tensor(archive.values().root(), tensor.name);
    if (place.shape != chunk.shape || place.type != *tensor.type) {
      fail(path, "tensor {} has a chunk {} {}, expected {} {} as in .metadata", name_text(tensor.name),
           to_string(place.type), shape_text(place.shape), to_string(*tensor.type), shape_text(chunk.shape));
    }
    place.begin += chunk.begin;
    place.storage_begin += chunk.begin;
    return {file, std::move(place), chunk.offsets};
  }

  const std::shared_ptr<const MappedFile>& open(const std::string& name, const std::string& path,
                                                const std::string& tensor) {
    auto& file = files_[name];
    if (!file) {
      if (!std::filesystem::exists(path)) {
        fail(folder_.string(), "has no {}, in which tensor {} is", name_text(name), name_text(tensor));
      }
      file = MappedFile::open(path);
    }
    return file;
  }

  std::filesystem::path folder_;
  std::map<std::string, std::shared_ptr<const MappedFile>> files_;
};

/// Returns what precedes the names of the model: "model.", nothing, or the only other prefix of an embedding.
std::string find_prefix(const std::vector<DistributedTensor>& tensors, const std::string& folder) {
  std::vector<std::string> prefixes;
  for (const DistributedTensor& tensor : tensors) {
    const std::string name = without_wrapper_prefixes(tensor.name);
    const auto begin = name.size() - std::min(name.size(), std::string_view(embedding_name).size());
    if (name.ends_with(embedding_name) && (begin == 0 || name[begin - 1] == '.')) {
      prefixes.push_back(name.substr(0, begin));
    }
  }
  for (const char* usual : {"model.", ""}) {
    if (std::ranges::find(prefixes, usual) != prefixes.end()) {
      return usual;
    }
  }
  if (prefixes.empty()) {
    fail(folder, "holds no tensor '{}'; accepted are the names of Meta's Llama and of SimpleGPT", embedding_name);
  }
  if (prefixes.size() > 1) {
    fail(folder, "holds several models: {} and {}", name_text(prefixes[0]), name_text(prefixes[1]));
  }
  return prefixes[0];
}

/// Returns the key of a tensor of the model, or nothing for other entries of the checkpoint.
std::string key_of(const std::string& full_name, const std::string& prefix) {
  constexpr std::array<std::string_view, 6> parts = {"tok_embeddings.", "pos_embeddings.", "layers.",
                                                     "norm.",           "output.",         rope_table_name};
  const std::string name = without_wrapper_prefixes(full_name);
  if (!name.starts_with(prefix)) {
    return "";
  }
  std::string key = name.substr(prefix.size());
  return std::ranges::any_of(parts, [&](std::string_view part) { return key.starts_with(part); }) ? key : "";
}

/// Derives a configuration from names and shapes.
class Derivation {
 public:
  Derivation(const StoredTensors& tensors, const std::string& folder) : tensors_(tensors), folder_(folder) {}

  GptConfig config() const {
    GptConfig config;
    config.placement = placement();
    const bool simple = config.placement == Placement::simplegpt;
    const auto layer = [&](const char* plain, const char* simple_name) {
      return rows_of(std::string("layers.0.") + (simple ? simple_name : plain) + ".weight");
    };
    if (tensors_.find("pos_embeddings.weight") != nullptr) {
      give_config("learned positions, and so no table from which the width of a head follows");
    }
    const StoredTensor* table = tensors_.find(rope_table_name);
    if (table == nullptr) {
      give_config("no tensor 'freqs_cis', from which the width of a head and the base of RoPE follow");
    }
    const auto base = rope_base_of_table(read(*table));
    if (!base) {
      give_config("a table 'freqs_cis' that is not exp(i t base^(-2j/width)) for any base");
    }
    config.rope_theta = *base;
    config.family = *base >= 500000.0 ? Family::llama3 : Family::llama2;
    config.max_seq_len = table->shape[0];
    config.head_dim = 2 * table->shape[1];
    config.vocab_size = rows_of(embedding_name);
    config.dim = tensors_.at(embedding_name).shape[1];
    config.n_layers = tensors_.count_layers();
    config.n_heads = heads(layer("attention.wq", "attention.snq.lin"), config.head_dim, "queries");
    config.n_kv_heads = heads(layer("attention.wk", "attention.snk.lin"), config.head_dim, "keys");
    config.ffn_hidden_dim = layer("feed_forward.w1", "feed_forward.sn1.lin");
    config.norm_eps = 1e-5;
    config.tied_head = tensors_.head_is_embedding();
    return config;
  }

 private:
  Placement placement() const {
    const auto has = [&](const char* name) { return tensors_.find(std::string("layers.0.") + name) != nullptr; };
    if (has("attention.snq.lin.weight")) {
      return Placement::simplegpt;
    }
    if (has("attention.q_norm.weight")) {
      return Placement::preqknorm;
    }
    return has("attention_post_norm.weight") ? Placement::sandwich : Placement::prenorm;
  }

  std::int64_t rows_of(const std::string& name) const {
    const StoredTensor& tensor = tensors_.at(name);
    if (tensor.shape.size() != 2) {
      fail(folder_, "tensor {} is {}, expected a matrix", name_text(tensor.full_name), shape_text(tensor.shape));
    }
    return tensor.shape[0];
  }

  std::int64_t heads(std::int64_t rows, std::int64_t head_dim, const char* what) const {
    if (rows % head_dim != 0) {
      fail(folder_, "the map to {} has {} rows, expected a multiple of the head width {} of 'freqs_cis'", what, rows,
           head_dim);
    }
    return rows / head_dim;
  }

  [[noreturn]] void give_config(const char* reason) const {
    fail(folder_, "has {}; give its configuration as JSON", reason);
  }

  const StoredTensors& tensors_;
  const std::string& folder_;
};

/// Returns the tensor `train_state.step`, or 0 without one.
std::int64_t read_training_step(const std::vector<DistributedTensor>& entries, ChunkReader& reader,
                                const std::string& folder) {
  const auto entry = std::ranges::find(entries, "train_state.step", &DistributedTensor::name);
  if (entry == entries.end()) {
    return 0;
  }
  const StoredTensor stored = reader.read(*entry);
  check_pieces(stored, folder);
  const at::Tensor step = read(stored);
  if (step.numel() != 1 || !at::isIntegralType(step.scalar_type(), /*includeBool=*/false) ||
      step.item<std::int64_t>() < 0) {
    fail(folder, "tensor 'train_state.step' {} holds {}, expected one non-negative integer", shape_text(stored.shape),
         to_string(stored.type));
  }
  return step.item<std::int64_t>();
}

}  // namespace

bool is_distributed_folder(const std::string& folder) {
  return std::filesystem::exists(std::filesystem::path(folder) / ".metadata");
}

TrainedModel load_distributed_model(const std::string& folder, WeightAccess access, const std::string& config_json) {
  const std::string metadata = (std::filesystem::path(folder) / ".metadata").string();
  const auto entries = parse_distributed_metadata(MappedFile::open(metadata)->bytes(), metadata);
  const std::string prefix = find_prefix(entries, folder);
  ChunkReader reader(folder);
  StoredTensors tensors(folder);
  for (const DistributedTensor& entry : entries) {
    if (const std::string key = key_of(entry.name, prefix); !key.empty()) {
      tensors.add(key, reader.read(entry));
    }
  }
  const GptConfig config = config_json.empty() ? Derivation(tensors, folder).config()
                                               : with_source(folder, [&] { return config_from_json(config_json); });
  with_source(folder, [&] { validate(config); });
  tensors.remove(rope_table_name);
  return {tensors.take(config, access, FileUse::viewed), read_training_step(entries, reader, folder)};
}

}  // namespace hessian::models
