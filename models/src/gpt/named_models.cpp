#include "hessian/models/named_models.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "gpt/named_sizes.h"

namespace hessian::models {
namespace {

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

/// Returns the lower-case letter of an ASCII letter, whatever the locale.
char lower_case(char letter) {
  return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
}

bool is_placement(const std::string& word) {
  try {
    parse_placement(word);
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// Returns the size of this name, without regard to case, or nullptr.
const NamedSize* find_size(Family family, const std::string& name) {
  const auto same = [](char a, char b) { return lower_case(a) == lower_case(b); };
  for (const NamedSize& size : named_sizes()) {
    if (size.config.family == family && std::ranges::equal(size.name, name, same)) {
      return &size;
    }
  }
  return nullptr;
}

/// Parses "SIZE" or "SIZE-PLACEMENT". Sizes may contain dashes: "mini-4k-prenorm".
GptConfig parse_size_and_placement(Family family, const std::string& words) {
  if (const NamedSize* size = find_size(family, words)) {
    return size->config;
  }
  const auto dash = words.rfind('-');
  const std::string before = words.substr(0, dash);
  const std::string last = dash == std::string::npos ? "" : words.substr(dash + 1);
  if (const NamedSize* size = find_size(family, before)) {
    GptConfig config = size->config;
    config.placement = parse_placement(last);
    return config;
  }
  throw std::runtime_error(fmt::format("'{}' is no size of {}; known are {}", is_placement(last) ? before : words,
                                       to_string(family), accepted_sizes(family)));
}

/// Returns whether two configurations have layers of the same dimensions. Versions of one size may differ in their window.
bool same_dimensions(const GptConfig& a, const GptConfig& b) {
  return a.family == b.family && a.dim == b.dim && a.n_layers == b.n_layers && a.n_heads == b.n_heads &&
         a.n_kv_heads == b.n_kv_heads && a.head_dim == b.head_dim && a.ffn_hidden_dim == b.ffn_hidden_dim &&
         a.window == b.window;
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
    for (const auto& part : {llama_sizes(), gpt2_sizes(), pythia_sizes(), gemma_sizes(), other_sizes()}) {
      all.insert(all.end(), part.begin(), part.end());
    }
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
  const auto dash = words.find('-');
  if (dash == std::string::npos) {
    throw std::runtime_error(
        name + ": a fresh model is new:FAMILY-SIZE or new:FAMILY-SIZE-PLACEMENT, as new:llama2-20M-simplegpt");
  }
  try {
    GptConfig config = parse_size_and_placement(parse_family(words.substr(0, dash)), words.substr(dash + 1));
    config.vocab_size = vocab_size.value_or(config.vocab_size);
    validate(config);
    return config;
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(name + ": " + error.what());
  }
}

}  // namespace hessian::models
