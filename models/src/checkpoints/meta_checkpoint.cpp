#include "checkpoints/meta_checkpoint.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "checkpoints/stored_tensors.h"
#include "checkpoints/wrapper_prefixes.h"
#include "formats/mapped_tensor.h"
#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// Larger than in any real model, and small enough that products of two sizes cannot overflow.
constexpr std::int64_t largest_size = std::int64_t{1} << 30;

/// Factor by which Llama 3.1 divides low frequencies of RoPE.
constexpr double default_scaling_factor = 8.0;

/// The numbers of params.json.
class Params {
 public:
  explicit Params(const std::string& path)
      : path_(path), json_(parse_json_object(as_text(MappedFile::open(path)->bytes()), path, "the file")) {
    constexpr std::array<std::string_view, 17> known = {"rope_scaling_factor",
                                                        "rope_high_freq_factor",
                                                        "dim",
                                                        "n_layers",
                                                        "n_heads",
                                                        "n_kv_heads",
                                                        "head_dim",
                                                        "hidden_dim",
                                                        "vocab_size",
                                                        "multiple_of",
                                                        "ffn_dim_multiplier",
                                                        "norm_eps",
                                                        "rope_theta",
                                                        "use_scaled_rope",
                                                        "max_seq_len",
                                                        "max_batch_size",
                                                        "model_parallel_size"};
    for (const auto& [key, value] : json_.items()) {
      if (std::ranges::find(known, key) == known.end() && !value.is_null()) {
        refuse(key, "which is not computed here");
      }
    }
  }

  bool has(const char* key) const { return json_.contains(key) && !json_.at(key).is_null(); }

  std::int64_t size(const char* key) const {
    if (!has(key)) {
      fail(path_, "has no {}", name_text(key));
    }
    const auto& value = json_.at(key);
    if (!value.is_number_integer() || value < 1 || value > largest_size) {
      refuse(key, "expected a positive integer");
    }
    return value.get<std::int64_t>();
  }
  std::int64_t size(const char* key, std::int64_t fallback) const { return has(key) ? size(key) : fallback; }

  double real(const char* key, double fallback) const {
    if (has(key) && !json_.at(key).is_number()) {
      refuse(key, "expected a number");
    }
    return has(key) ? json_.at(key).get<double>() : fallback;
  }

  bool boolean(const char* key) const {
    if (has(key) && !json_.at(key).is_boolean()) {
      refuse(key, "expected true or false");
    }
    return has(key) && json_.at(key).get<bool>();
  }

  /// Returns whether `key` is -1, which stands for a number that is found elsewhere.
  bool is_open(const char* key) const { return !has(key) || json_.at(key) == -1; }

  [[noreturn]] void refuse(const std::string& key, const char* reason) const {
    fail(path_, "{} is {}, {}", name_text(key), json_text(json_.at(key)), reason);
  }

 private:
  std::string path_;
  nlohmann::json json_;
};

/// Reads everything but the vocabulary and whether the head is tied.
GptConfig read_config(const std::string& path) {
  const Params params(path);
  GptConfig config;
  config.rope_theta = params.real("rope_theta", 10000.0);
  config.family = config.rope_theta >= 500000.0 ? Family::llama3 : Family::llama2;
  config.dim = params.size("dim");
  config.n_layers = params.size("n_layers");
  config.n_heads = params.size("n_heads");
  config.n_kv_heads = params.size("n_kv_heads", config.n_heads);
  if (!params.has("head_dim") && config.dim % config.n_heads != 0) {
    fail(path, "'n_heads' is {}, which does not divide 'dim' {}", config.n_heads, config.dim);
  }
  config.head_dim = params.size("head_dim", config.dim / config.n_heads);
  const double multiplier = params.real("ffn_dim_multiplier", 1.0);
  if (!(multiplier > 0 && multiplier < 1e3)) {
    params.refuse("ffn_dim_multiplier", "expected a positive number");
  }
  const auto scale = params.has("ffn_dim_multiplier") ? std::optional(multiplier) : std::nullopt;
  const std::int64_t derived = swiglu_hidden_dim(config.dim, scale, params.size("multiple_of", 256));
  config.ffn_hidden_dim = params.size("hidden_dim", derived);
  config.vocab_size = params.is_open("vocab_size") ? -1 : params.size("vocab_size");
  config.norm_eps = params.real("norm_eps", 1e-5);
  config.max_seq_len = params.size("max_seq_len", config.family == Family::llama3 ? 8192 : 4096);
  if (params.boolean("use_scaled_rope")) {  // Llama 3.1
    config.rope_scaling.type = RopeType::llama3;
    config.rope_scaling.factor = params.real("rope_scaling_factor", default_scaling_factor);
    config.rope_scaling.low_freq_factor = 1;
    config.rope_scaling.high_freq_factor = params.real("rope_high_freq_factor", 4.0);
    config.rope_scaling.original_max_seq_len = 8192;
    config.max_seq_len = params.size("max_seq_len", 131072);
  }
  return config;
}

/// One file consolidated.NN.pth.
struct Shard {
  std::shared_ptr<const MappedFile> file;
  std::map<std::string, ArchivedTensor> tensors;
};

std::string shard_name(std::size_t index) {
  return fmt::format("consolidated.{:02}.pth", index);
}

/// Returns the number of shards, after checking that they are numbered from 0 on.
std::size_t count_shards(const std::string& folder) {
  constexpr std::string_view start = "consolidated.";
  constexpr std::string_view end = ".pth";
  std::size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    files += name.starts_with(start) && name.ends_with(end) ? 1 : 0;
  }
  if (files == 0) {
    fail(folder, "has params.json, but no {}", shard_name(0));
  }
  for (std::size_t index = 0; index < files; ++index) {
    if (!std::filesystem::exists(std::filesystem::path(folder) / shard_name(index))) {
      fail(folder, "has {} files consolidated.NN.pth, but no {}", files, shard_name(index));
    }
  }
  return files;
}

Shard read_shard(const std::string& path) {
  Shard shard{MappedFile::open(path), {}};
  const TorchArchive archive(shard.file->bytes(), path);
  for (const auto& [name, place] : archive.state_dict(archive.values().root())) {
    const std::string key = without_wrapper_prefixes(name);
    if (key != "rope.freqs" && !shard.tensors.emplace(key, place).second) {
      fail(path, "tensor {} is given twice", name_text(key));
    }
  }
  return shard;
}

at::Tensor tensor_of(const Shard& shard, const std::string& name) {
  return read(whole_tensor(name, shard.file, shard.tensors.at(name)));
}

/// Returns whether two shards hold the same numbers under a name.
bool same_numbers(const Shard& a, const Shard& b, const std::string& name) {
  const ArchivedTensor& place = a.tensors.at(name);
  const ArchivedTensor& other = b.tensors.at(name);
  return place.type == other.type && place.shape == other.shape && tensor_of(a, name).equal(tensor_of(b, name));
}

/// Returns the axis along which a matrix is divided; nothing for a tensor that every shard has whole.
std::optional<std::size_t> split_axis(const std::string& name, const std::vector<std::int64_t>& shape,
                                      std::int64_t dim) {
  constexpr std::array<std::string_view, 6> by_rows = {".attention.wq.weight",    ".attention.wk.weight",
                                                       ".attention.wv.weight",    ".feed_forward.w1.weight",
                                                       ".feed_forward.w3.weight", "output.weight"};
  constexpr std::array<std::string_view, 2> by_columns = {".attention.wo.weight", ".feed_forward.w2.weight"};
  const auto ends_name = [&](std::string_view end) { return name.ends_with(end); };
  if (shape.size() != 2) {
    return std::nullopt;
  }
  if (name == "tok_embeddings.weight") {
    return shape[1] == dim ? 0 : 1;
  }
  if (std::ranges::any_of(by_rows, ends_name)) {
    return 0;
  }
  return std::ranges::any_of(by_columns, ends_name) ? std::optional<std::size_t>(1) : std::nullopt;
}

StoredTensor join_shards(const std::string& name, const std::vector<Shard>& shards, std::int64_t dim) {
  const Shard& first = shards.front();
  const ArchivedTensor& place = first.tensors.at(name);
  StoredTensor result{name, place.type, place.shape, {}};
  const auto axis = split_axis(name, place.shape, dim);
  std::int64_t end = 0;
  for (const Shard& shard : shards) {
    const auto found = shard.tensors.find(name);
    if (found == shard.tensors.end()) {
      fail(shard.file->path(), "has no tensor {}, which {} has", name_text(name), shard_name(0));
    }
    const std::vector<std::int64_t>& shape = found->second.shape;
    if (shape != place.shape || found->second.type != place.type) {
      fail(shard.file->path(), "tensor {} is {} {}, expected {} {} as in {}", name_text(name),
           to_string(found->second.type), shape_text(shape), to_string(place.type), shape_text(place.shape),
           shard_name(0));
    }
    if (axis) {
      std::vector<std::int64_t> offsets(shape.size(), 0);
      offsets[*axis] = end;
      end += shape[*axis];
      result.pieces.push_back({shard.file, found->second, std::move(offsets)});
    } else if (&shard != &first && !same_numbers(shard, first, name)) {
      fail(shard.file->path(), "tensor {} differs from that in {}", name_text(name), shard_name(0));
    }
  }
  if (!axis) {
    return whole_tensor(name, first.file, place);
  }
  result.shape[*axis] = end;
  return result;
}

/// Checks that the shards of one matrix join to its size, and that no two of them hold the same numbers.
void check_shards(const std::vector<Shard>& shards, const GptConfig& config, const std::string& folder) {
  const std::string name = "layers.0.attention.wq.weight";
  const auto first = shards.front().tensors.find(name);
  if (first == shards.front().tensors.end() || first->second.shape.empty() || first->second.shape[0] == 0) {
    return;  // will be refused
  }
  const std::int64_t rows = config.n_heads * config.head_dim;
  const std::int64_t rows_of_shard = first->second.shape[0];
  if (rows % rows_of_shard == 0 && rows / rows_of_shard != static_cast<std::int64_t>(shards.size())) {
    fail(folder, "has {} files consolidated.NN.pth, expected {}: tensor {} has {} of {} rows in each", shards.size(),
         rows / rows_of_shard, name_text(name), rows_of_shard, rows);
  }
  for (std::size_t i = 1; i < shards.size(); ++i) {
    for (std::size_t j = 0; j < i && shards[i].tensors.contains(name) && shards[j].tensors.contains(name); ++j) {
      if (same_numbers(shards[i], shards[j], name)) {
        fail(shards[i].file->path(), "holds the same weights as {}, expected another shard", shard_name(j));
      }
    }
  }
}

/// Refuses Llama 3.2, which has a tied head and another factor than Llama 3.1, but the same entries in params.json.
void check_scaling(const GptConfig& config, const std::string& path) {
  if (config.tied_head && config.rope_scaling.type != RopeType::plain &&
      config.rope_scaling.factor == default_scaling_factor) {
    fail(path,
         "'use_scaled_rope' is true and the head is tied, as in Llama 3.2, whose factor is not in this file; add "
         "\"rope_scaling_factor\": 32");
  }
}

}  // namespace

bool is_meta_folder(const std::string& folder) {
  return std::filesystem::exists(std::filesystem::path(folder) / "params.json");
}

Model load_meta_model(const std::string& folder, WeightAccess access) {
  const std::filesystem::path base(folder);
  GptConfig config = read_config((base / "params.json").string());
  std::vector<Shard> shards;
  for (std::size_t index = 0, count = count_shards(folder); index < count; ++index) {
    shards.push_back(read_shard((base / shard_name(index)).string()));
  }
  check_shards(shards, config, folder);
  StoredTensors tensors(folder);
  for (const Shard& shard : shards) {
    for (const auto& [name, place] : shard.tensors) {
      if (&shard != &shards.front() && !shards.front().tensors.contains(name)) {
        fail(shard.file->path(), "has a tensor {}, which {} has not", name_text(name), shard_name(0));
      }
      if (&shard == &shards.front()) {
        tensors.add(name, join_shards(name, shards, config.dim));
      }
    }
  }
  const StoredTensor& embedding = tensors.at("tok_embeddings.weight");
  if (config.vocab_size < 0 && embedding.shape.size() == 2) {
    config.vocab_size = embedding.shape[0];
  }
  config.tied_head = tensors.head_is_embedding();
  check_scaling(config, (base / "params.json").string());
  with_source((base / "params.json").string(), [&] { validate(config); });
  return tensors.take(config, access, FileUse::viewed);
}

}  // namespace hessian::models
