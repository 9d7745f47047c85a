#include "checkpoints/gguf_checkpoint.h"

#include <ATen/core/Tensor.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "checkpoints/rope_rows.h"
#include "formats/gguf_tensors.h"
#include "gguf/gguf.h"
#include "io/byte_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// An architecture of GGUF.
struct Architecture {
  std::string_view name;
  Family family;
  bool half_split;  ///< pair j of a head's rows of q and k is rows j and j + head_dim/2, rather than 2j and 2j+1
};

constexpr std::array<Architecture, 4> architectures{{{"llama", Family::llama2, false},
                                                     {"qwen2", Family::qwen2, true},
                                                     {"qwen3", Family::qwen3, true},
                                                     {"olmo2", Family::olmo2, true}}};
constexpr const char* divisors_name = "rope_freqs.weight";

/// The settings of an architecture, whose keys begin with its name.
class Settings {
 public:
  Settings(const GgufMetadata& metadata, std::string_view prefix) : metadata_(metadata), prefix_(prefix) {}

  const std::string& source() const { return metadata_.source(); }
  std::string full(std::string_view key) const { return fmt::format("{}.{}", prefix_, key); }
  bool contains(std::string_view key) const { return metadata_.contains(full(key)); }

  /// Reads a size below 2^31, so that products of two sizes cannot overflow. An array holds one size per layer, all
  /// equal.
  int64_t size(std::string_view key, std::optional<int64_t> fallback = std::nullopt) const {
    const std::string name = full(key);
    if (fallback && !metadata_.contains(name)) {
      return *fallback;
    }
    int64_t value = 0;
    if (metadata_.is_array(name)) {
      const auto values = *metadata_.integers(name);
      if (values.empty() || std::ranges::adjacent_find(values, std::not_equal_to()) != values.end()) {
        fail(source(), "'{}' differs between layers, but only models with equal layers are supported", name);
      }
      value = values.front();
    } else {
      value = metadata_.required(metadata_.integer(name), name);
    }
    if (value < 1 || value > INT32_MAX) {
      fail(source(), "'{}' is {}, expected a positive integer", name, value);
    }
    return value;
  }

  double positive(std::string_view key, std::optional<double> fallback = std::nullopt) const {
    const std::string name = full(key);
    if (fallback && !metadata_.contains(name)) {
      return *fallback;
    }
    const double value = metadata_.required(metadata_.number(name), name);
    if (!(value > 0) || !std::isfinite(value)) {
      fail(source(), "'{}' is {}, expected a positive number", name, value);
    }
    return value;
  }

  std::string text(std::string_view key, const char* fallback) const {
    return metadata_.text(full(key)).value_or(fallback);
  }

  /// Refuses a setting that changes what is computed, unless it has the value of models without it.
  void refuse_unless(std::string_view key, double wanted) const {
    const std::string name = full(key);
    if (const auto value = metadata_.number(name); value && *value != wanted) {
      fail(source(), "'{}' is {}, but only models without it are supported", name, *value);
    }
  }

 private:
  const GgufMetadata& metadata_;
  std::string_view prefix_;
};

using TensorsByName = std::map<std::string_view, const GgufTensor*>;

/// Reads the tensor with the divisors of RoPE's frequencies.
std::vector<double> read_divisors(const GgufTensor& tensor, const MappedFile& file) {
  if (std::string_view(tensor.format->name) != "F32" || tensor.shape.size() != 1) {
    fail(file.path(), "tensor '{}' is {} {}, expected a list of F32", divisors_name, tensor.format->name,
         shape_text(tensor.shape));
  }
  std::vector<double> divisors;
  for (std::uint64_t position = tensor.begin; position < tensor.end; position += sizeof(float)) {
    divisors.push_back(load_little_endian<float>(file.bytes().subspan(static_cast<std::size_t>(position))));
  }
  return divisors;
}

RopeScaling read_scaling(const Settings& settings) {
  const std::string type = settings.text("rope.scaling.type", "none");
  const double factor = settings.positive("rope.scaling.factor", settings.positive("rope.scale_linear", 1.0));
  RopeScaling scaling;
  if (type == "none" && !settings.contains("rope.scale_linear")) {
    return scaling;
  }
  if (type == "linear" || type == "none") {
    scaling.type = factor == 1 ? RopeType::plain : RopeType::linear;
    scaling.factor = factor;
    return scaling;
  }
  if (type != "yarn") {
    fail(settings.source(), "'{}' is {}, but only 'none', 'linear' and 'yarn' are supported",
         settings.full("rope.scaling.type"), name_text(type));
  }
  settings.refuse_unless("rope.scaling.attn_factor", 1);
  settings.refuse_unless("rope.scaling.yarn_ext_factor", 1);
  settings.refuse_unless("rope.scaling.yarn_attn_factor", 1);
  settings.refuse_unless("rope.scaling.yarn_log_multiplier", 0);
  scaling.type = RopeType::yarn;
  scaling.factor = factor;
  scaling.original_max_seq_len = settings.size("rope.scaling.original_context_length", settings.size("context_length"));
  scaling.beta_fast = settings.positive("rope.scaling.yarn_beta_fast", scaling.beta_fast);
  scaling.beta_slow = settings.positive("rope.scaling.yarn_beta_slow", scaling.beta_slow);
  return scaling;
}

/// Replaces RoPE's scaling by divisors of its frequencies, which are the whole change: cosines and sines are not
/// scaled.
void use_divisors(GptConfig& config, std::vector<double> divisors, const Settings& settings) {
  if (config.rope_scaling.type != RopeType::plain) {
    fail(settings.source(), "has both '{}' and the tensor '{}', but only one of them is supported",
         settings.full("rope.scaling.type"), divisors_name);
  }
  if (std::ranges::all_of(divisors, [](double divisor) { return divisor == 1; })) {
    return;
  }
  config.rope_scaling.type = RopeType::longrope;
  config.rope_scaling.attention_factor = 1;
  config.rope_scaling.short_factors = divisors;
  config.rope_scaling.long_factors = std::move(divisors);
}

GptConfig read_config(Family family, const Settings& settings, const TensorsByName& tensors, const MappedFile& file) {
  constexpr double usual_theta = 10000.0;
  constexpr double llama3_theta = 500000.0;
  for (const char* key : {"expert_count", "attention.sliding_window", "attn_logit_softcapping",
                          "final_logit_softcapping", "attention.clamp_kqv"}) {
    settings.refuse_unless(key, 0);
  }
  for (const char* key : {"embedding_scale", "residual_scale", "logit_scale"}) {
    settings.refuse_unless(key, 1);
  }
  const double theta = settings.positive("rope.freq_base", usual_theta);
  GptConfig config = family_defaults(family == Family::llama2 && theta >= llama3_theta ? Family::llama3 : family);
  config.rope_theta = theta;
  config.dim = settings.size("embedding_length");
  config.n_layers = settings.size("block_count");
  if (config.n_layers > static_cast<int64_t>(tensors.size())) {
    fail(settings.source(), "has {} tensors, too few for {} layers", tensors.size(), config.n_layers);
  }
  config.n_heads = settings.size("attention.head_count");
  config.n_kv_heads = settings.size("attention.head_count_kv", config.n_heads);
  if (!settings.contains("attention.key_length") && config.dim % config.n_heads != 0) {
    fail(settings.source(), "{} heads do not divide the width of {}", config.n_heads, config.dim);
  }
  config.head_dim = settings.size("attention.key_length", config.dim / config.n_heads);
  if (const int64_t values = settings.size("attention.value_length", config.head_dim); values != config.head_dim) {
    fail(settings.source(), "keys have {} entries per head and values {}, but only equal lengths are supported",
         config.head_dim, values);
  }
  const int64_t rotated = settings.size("rope.dimension_count", config.head_dim);
  config.rotated_dim = rotated == config.head_dim ? 0 : rotated;
  config.ffn_hidden_dim = settings.size("feed_forward_length");
  config.max_seq_len = settings.size("context_length");
  config.norm_eps = settings.positive("attention.layer_norm_rms_epsilon");
  const auto embedding = tensors.find("token_embd.weight");
  if (embedding == tensors.end() || embedding->second->shape.size() != 2) {
    fail(settings.source(), "has no matrix 'token_embd.weight'");
  }
  config.vocab_size = embedding->second->shape.front();
  config.tied_head = !tensors.contains("output.weight");
  config.qkv_bias = tensors.contains("blk.0.attn_q.bias");
  config.out_bias = tensors.contains("blk.0.attn_output.bias");
  config.ffn_bias = tensors.contains("blk.0.ffn_down.bias");
  config.rope_scaling = read_scaling(settings);
  if (const auto divisors = tensors.find(divisors_name); divisors != tensors.end()) {
    use_divisors(config, read_divisors(*divisors->second, file), settings);
  }
  with_source(settings.source(), [&] { validate(config); });
  return config;
}

/// Pairs of this project's name and GGUF's, without layer and kind.
using NamePair = std::pair<std::string_view, std::string_view>;
constexpr std::array<NamePair, 3> names_of_model{
    {{"tok_embeddings", "token_embd"}, {"norm", "output_norm"}, {"output", "output"}}};
constexpr std::array<NamePair, 13> names_of_layer{{{"attention.wq", "attn_q"},
                                                   {"attention.wk", "attn_k"},
                                                   {"attention.wv", "attn_v"},
                                                   {"attention.wo", "attn_output"},
                                                   {"attention.q_norm", "attn_q_norm"},
                                                   {"attention.k_norm", "attn_k_norm"},
                                                   {"attention_norm", "attn_norm"},
                                                   {"attention_post_norm", "post_attention_norm"},
                                                   {"feed_forward.w1", "ffn_gate"},
                                                   {"feed_forward.w2", "ffn_down"},
                                                   {"feed_forward.w3", "ffn_up"},
                                                   {"ffn_norm", "ffn_norm"},
                                                   {"ffn_post_norm", "post_ffw_norm"}}};

/// A name of this project: layers.LAYER.STEM.KIND, or STEM.KIND.
struct OwnName {
  explicit OwnName(std::string_view name) {
    constexpr std::string_view prefix = "layers.";
    const std::size_t dot = name.rfind('.');
    kind = name.substr(dot + 1);
    stem = name.substr(0, dot);
    if (stem.starts_with(prefix)) {
      const std::size_t end = stem.find('.', prefix.size());
      layer = stem.substr(prefix.size(), end - prefix.size());
      stem.remove_prefix(end + 1);
    }
  }

  std::string in_gguf() const {
    const std::span<const NamePair> names = layer.empty() ? std::span<const NamePair>(names_of_model) : names_of_layer;
    const auto found = std::ranges::find(names, stem, &NamePair::first);
    if (found == names.end()) {
      throw std::logic_error(fmt::format("no name in GGUF for '{}'", stem));
    }
    return layer.empty() ? fmt::format("{}.{}", found->second, kind)
                         : fmt::format("blk.{}.{}.{}", layer, found->second, kind);
  }

  std::string_view layer;
  std::string_view stem;
  std::string_view kind;  ///< weight or bias
};

/// Returns the permutation of rows that a parameter needs if q and k are half-split; empty if it has no such rows.
GgufParameters::Form interleaving(std::string_view stem, const GptConfig& config) {
  const bool is_norm = stem.ends_with("_norm");
  int64_t heads = 0;
  if (stem == "attention.wq" || stem == "attention.q_norm") {
    heads = config.n_heads;
  } else if (stem == "attention.wk" || stem == "attention.k_norm") {
    heads = config.n_kv_heads;
  } else {
    return {};
  }
  // A gain per head has the entries of one head.
  heads = is_norm && config.qk_norm == QkNorm::head ? 1 : heads;
  return [heads, rotated = config.rotated_dim](const at::Tensor& rows) {
    return interleave_rope_rows(rows, heads, rotated);
  };
}

const Architecture& find_architecture(const GgufMetadata& metadata) {
  constexpr const char* key = "general.architecture";
  const auto name = metadata.required(metadata.text(key), key);
  const auto* const found = std::ranges::find(architectures, name, &Architecture::name);
  if (found == architectures.end()) {
    std::string known;
    for (const Architecture& architecture : architectures) {
      known += fmt::format("{}{}", known.empty() ? "" : ", ", architecture.name);
    }
    fail(metadata.source(), "architecture {} is not supported; supported are {}", name_text(name), known);
  }
  return *found;
}

}  // namespace

Model load_gguf_model(const std::string& path, WeightAccess access) {
  const auto file = MappedFile::open(path);
  const GgufHeader header = parse_gguf(file->bytes(), path);
  const Architecture& architecture = find_architecture(header.metadata);
  TensorsByName tensors;
  for (const GgufTensor& tensor : header.tensors) {
    tensors.emplace(tensor.name, &tensor);
  }
  const GptConfig config =
      read_config(architecture.family, Settings(header.metadata, architecture.name), tensors, *file);
  GgufParameters parameters(file, access != WeightAccess::ready);
  for (const ParameterSpec& spec : parameter_specs(config)) {
    const OwnName name(spec.name);
    const std::string wanted = name.in_gguf();
    const auto found = tensors.find(wanted);
    if (found == tensors.end()) {
      fail(path, "tensor {} {} is absent", name_text(wanted), shape_text(spec.shape));
    }
    if (found->second->shape != spec.shape) {
      fail(path, "tensor {} is {}, expected {}", name_text(wanted), shape_text(found->second->shape),
           shape_text(spec.shape));
    }
    parameters.add(spec.name, *found->second,
                   architecture.half_split ? interleaving(name.stem, config) : GgufParameters::Form());
    tensors.erase(found);
  }
  tensors.erase(divisors_name);
  if (!tensors.empty()) {
    fail(path, "tensor {} {} is not part of this architecture", name_text(tensors.begin()->first),
         shape_text(tensors.begin()->second->shape));
  }
  return assemble_model(config, parameters.take(), path, access);
}

}  // namespace hessian::models
