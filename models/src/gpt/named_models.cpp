#include "hessian/models/named_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace hessian::models {
namespace {

struct LlamaSize {
  Family family;
  const char* name;
  int64_t dim;
  int64_t n_layers;
  int64_t n_heads;
  int64_t n_kv_heads;
  std::optional<double> ffn_dim_multiplier;
  int64_t multiple_of;
};

// Source: the flavor tables of the official SimpleGPT code.
const std::vector<LlamaSize> llama_sizes = {
    {Family::llama2, "debugmodel", 256, 8, 16, 16, std::nullopt, 256},
    {Family::llama2, "20M", 256, 4, 4, 4, std::nullopt, 256},
    {Family::llama2, "22M", 256, 6, 4, 4, std::nullopt, 256},
    {Family::llama2, "35M", 384, 6, 6, 6, std::nullopt, 256},
    {Family::llama2, "39M", 384, 8, 6, 6, std::nullopt, 256},
    {Family::llama2, "60M", 512, 8, 8, 8, std::nullopt, 256},
    {Family::llama2, "67M", 512, 10, 8, 8, std::nullopt, 256},
    {Family::llama2, "102M", 640, 12, 10, 10, std::nullopt, 256},
    {Family::llama2, "134M", 768, 12, 12, 12, std::nullopt, 256},
    {Family::llama2, "162M", 768, 16, 12, 12, std::nullopt, 256},
    {Family::llama2, "271M", 1024, 16, 16, 16, std::nullopt, 256},
    {Family::llama2, "297M", 1024, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "360M", 1152, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "1B", 2048, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "7B", 4096, 32, 32, 32, std::nullopt, 256},
    {Family::llama2, "13B", 5120, 40, 40, 40, std::nullopt, 256},
    {Family::llama2, "26B", 5120, 80, 40, 40, std::nullopt, 256},
    {Family::llama2, "70B", 8192, 80, 64, 8, 1.3, 4096},
    {Family::llama3, "debugmodel", 1024, 16, 16, 16, std::nullopt, 256},
    {Family::llama3, "8B", 4096, 32, 32, 8, 1.3, 1024},
    {Family::llama3, "70B", 8192, 80, 64, 8, 1.3, 4096},
};

NamedSize llama(const LlamaSize& size) {
  GptConfig config;
  config.family = size.family;
  config.dim = size.dim;
  config.n_layers = size.n_layers;
  config.n_heads = size.n_heads;
  config.n_kv_heads = size.n_kv_heads;
  config.head_dim = size.dim / size.n_heads;
  config.ffn_hidden_dim = swiglu_hidden_dim(size.dim, size.ffn_dim_multiplier, size.multiple_of);
  config.vocab_size = size.family == Family::llama2 ? 32000 : 128256;
  config.max_seq_len = size.family == Family::llama2 ? 4096 : 8192;
  config.rope_theta = size.family == Family::llama2 ? 10000.0 : 500000.0;
  return {size.name, config};
}

// Source: nanoGPT's config/train_shakespeare_char.py, and the table in its GPT.from_pretrained.
NamedSize gpt2(const char* name, int64_t dim, int64_t n_layers, int64_t n_heads, int64_t vocab_size,
               int64_t positions) {
  GptConfig config;
  config.family = Family::gpt2;
  config.dim = dim;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.n_kv_heads = n_heads;
  config.head_dim = dim / n_heads;
  config.ffn_hidden_dim = 4 * dim;
  config.vocab_size = vocab_size;
  config.max_seq_len = positions;
  config.tied_head = true;
  config.activation = Activation::gelu;
  return {name, config};
}

std::string accepted_sizes(Family family) {
  std::string names;
  for (const NamedSize& size : named_sizes()) {
    if (size.config.family == family) {
      names += (names.empty() ? "" : ", ") + size.name;
    }
  }
  return names;
}

constexpr const char* name_prefix = "new:";

/// Returns whether two configurations have layers of the same dimensions.
bool same_dimensions(const GptConfig& a, const GptConfig& b) {
  return a.family == b.family && a.dim == b.dim && a.n_layers == b.n_layers && a.n_heads == b.n_heads &&
         a.n_kv_heads == b.n_kv_heads && a.head_dim == b.head_dim && a.ffn_hidden_dim == b.ffn_hidden_dim;
}

/// Formats a number of parameters: `139K`, `0.9M`, `1.3B`.
std::string count_text(int64_t count) {
  struct Unit {
    double from;
    double scale;
    const char* suffix;
  };
  // Counts below half a million are given in thousands, which is more precise. From 999.5 million on, counts round to
  // `1.0B` or more.
  constexpr std::array<Unit, 4> units{{{999.5e6, 1e9, "B"}, {0.5e6, 1e6, "M"}, {1e3, 1e3, "K"}, {0, 1, ""}}};
  const auto value = static_cast<double>(count);
  const Unit& unit = *std::find_if(units.begin(), units.end(), [&](const Unit& u) { return value >= u.from; });
  const double scaled = value / unit.scale;
  constexpr double whole_from = 9.95;  // from here on, one decimal would show 10.0 or more
  return scaled < whole_from && unit.scale > 1 ? fmt::format("{:.1f}{}", scaled, unit.suffix)
                                               : fmt::format("{:.0f}{}", scaled, unit.suffix);
}

std::string size_name(const GptConfig& config) {
  for (const NamedSize& size : named_sizes()) {
    if (same_dimensions(size.config, config)) {
      return size.name;
    }
  }
  GptConfig prenorm = config;
  prenorm.placement = Placement::prenorm;
  return count_text(parameter_count(prenorm));
}

}  // namespace

const std::vector<NamedSize>& named_sizes() {
  static const std::vector<NamedSize> sizes = [] {
    std::vector<NamedSize> all;
    for (const LlamaSize& size : llama_sizes) {
      all.push_back(llama(size));
    }
    all.push_back(gpt2("10M", 384, 6, 6, 65, 256));
    all.push_back(gpt2("124M", 768, 12, 12, 50304, 1024));
    all.push_back(gpt2("350M", 1024, 24, 16, 50304, 1024));
    all.push_back(gpt2("774M", 1280, 36, 20, 50304, 1024));
    all.push_back(gpt2("1558M", 1600, 48, 25, 50304, 1024));
    return all;
  }();
  return sizes;
}

bool is_model_name(const std::string& source) {
  return source.rfind(name_prefix, 0) == 0;
}

std::string model_label(const GptConfig& config) {
  return fmt::format("{}-{}-{}", to_string(config.family), size_name(config), to_string(config.placement));
}

std::string labelled_config_json(const GptConfig& config) {
  auto object = nlohmann::json::parse(config_to_json(config));
  object["label"] = model_label(config);
  return object.dump();
}

GptConfig parse_model_name(const std::string& name, std::optional<int64_t> vocab_size) {
  const std::string words = is_model_name(name) ? name.substr(std::string(name_prefix).size()) : "";
  const auto first = words.find('-');
  const auto last = words.rfind('-');
  if (first == std::string::npos || first == last) {
    throw std::runtime_error(name + ": a fresh model is new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt");
  }
  try {
    const Family family = parse_family(words.substr(0, first));
    const Placement placement = parse_placement(words.substr(last + 1));
    const std::string size_name = words.substr(first + 1, last - first - 1);
    for (const NamedSize& size : named_sizes()) {
      if (size.config.family == family && size.name == size_name) {
        GptConfig config = size.config;
        config.placement = placement;
        config.vocab_size = vocab_size.value_or(config.vocab_size);
        validate(config);
        return config;
      }
    }
    throw std::runtime_error("'" + size_name + "' is no size of " + to_string(family) + "; known are " +
                             accepted_sizes(family));
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(name + ": " + error.what());
  }
}

}  // namespace hessian::models
