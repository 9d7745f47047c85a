#include "checkpoints/huggingface_layers.h"

#include <algorithm>

#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using Settings = HuggingFaceSettings;

/// Returns one letter per layer, given a rule.
template <class Rule>
std::string letters_of(int64_t n_layers, const Rule& rule) {
  std::string letters;
  for (int64_t layer = 0; layer < n_layers; ++layer) {
    letters += rule(layer);
  }
  return letters;
}

/// Returns the shortest text whose repetition begins with these letters; empty if all are `usual`.
std::string shortest_pattern(const std::string& letters, char usual) {
  if (letters.find_first_not_of(usual) == std::string::npos) {
    return "";
  }
  std::size_t length = 1;
  const auto repeats = [&] {
    return std::equal(letters.begin() + static_cast<std::ptrdiff_t>(length), letters.end(), letters.begin());
  };
  while (!repeats()) {
    ++length;
  }
  return letters.substr(0, length);
}

/// Returns the letters of `layer_types`: w for sliding_attention, f for full_attention; nothing if it is absent.
std::optional<std::string> layer_types(const Settings& settings, int64_t n_layers) {
  const auto* types = settings.find("layer_types");
  if (types == nullptr) {
    return std::nullopt;
  }
  if (!types->is_array() || static_cast<int64_t>(types->size()) != n_layers) {
    settings.expected("layer_types", *types, fmt::format("a list of {} words, one per layer", n_layers));
  }
  std::string letters;
  for (const auto& type : *types) {
    if (type != "full_attention" && type != "sliding_attention") {
      fail(settings.path(), "'layer_types' has {}, but only \"full_attention\" and \"sliding_attention\" are supported",
           json_text(type));
    }
    letters += type == "sliding_attention" ? 'w' : 'f';
  }
  return letters;
}

/// Returns the letters of `no_rope_layers`, which may be longer than the model: r for 1, n for 0.
std::string listed_rotations(const Settings& settings, const nlohmann::json& list, int64_t n_layers) {
  std::string letters;
  for (const auto& rotated : list) {
    letters += rotated == 1 ? 'r' : rotated == 0 ? 'n' : '?';
  }
  if (!list.is_array() || static_cast<int64_t>(letters.size()) < n_layers || letters.find('?') != std::string::npos) {
    settings.expected("no_rope_layers", list, fmt::format("a list of 0 and 1, one per layer of {}", n_layers));
  }
  return letters.substr(0, static_cast<std::size_t>(n_layers));
}

/// Stores the window of the layers that have a w.
/// \param window  0 if the configuration has none
void store_windows(const Settings& settings, int64_t window, const std::string& letters, GptConfig& config) {
  const bool any = letters.find('w') != std::string::npos;
  if (any && window == 0) {
    fail(settings.path(), "'layer_types' has \"sliding_attention\", but there is no 'sliding_window'");
  }
  config.window = any ? window : 0;
  config.window_pattern = any ? shortest_pattern(letters, 'w') : "";
}

/// Returns `sliding_window`: the fallback if it is absent, 0 (none) if it is null.
int64_t window_of(const Settings& settings, int64_t fallback) {
  if (!settings.contains("sliding_window")) {
    return fallback;
  }
  return settings.find("sliding_window") == nullptr ? 0 : settings.size("sliding_window");
}

constexpr int64_t usual_window = 4096;

}  // namespace

void read_uniform_window(const Settings& settings, int64_t fallback, GptConfig& config) {
  const int64_t window = window_of(settings, fallback);
  // Read in any case: without a window, its value does not matter.
  const bool used = settings.flag("use_sliding_window", true);
  if (window != 0 && !used) {
    fail(settings.path(), "'use_sliding_window' is false, but 'sliding_window' is {}", window);
  }
  const std::string letters(static_cast<std::size_t>(config.n_layers), window != 0 ? 'w' : 'f');
  if (layer_types(settings, config.n_layers).value_or(letters) != letters) {
    fail(settings.path(), "'layer_types' is {}, but this architecture has {} in every layer",
         json_text(*settings.find("layer_types")), window != 0 ? "the window" : "full attention");
  }
  store_windows(settings, window, letters, config);
}

void read_qwen_windows(const Settings& settings, GptConfig& config) {
  const bool used = settings.flag("use_sliding_window", false);
  const int64_t given = window_of(settings, usual_window);
  const int64_t window = used ? given : 0;
  constexpr int64_t first_windowed_layer = 28;
  // Unlike other sizes it may be 0: then all layers have a window.
  const auto* first_value = settings.find("max_window_layers");
  const int64_t first =
      first_value == nullptr ? first_windowed_layer : json_size(*first_value, settings.path(), "'max_window_layers'");
  const std::string letters =
      letters_of(config.n_layers, [&](int64_t layer) { return window != 0 && layer >= first ? 'w' : 'f'; });
  store_windows(settings, window, layer_types(settings, config.n_layers).value_or(letters), config);
}

void read_gemma_windows(const Settings& settings, int64_t n, bool configurable, GptConfig& config) {
  const int64_t interval = settings.size("sliding_window_pattern", n);
  if (!configurable && interval != n) {
    fail(settings.path(), "'sliding_window_pattern' is {}, but only {} is supported", interval, n);
  }
  const std::string letters =
      letters_of(config.n_layers, [&](int64_t layer) { return (layer + 1) % interval == 0 ? 'f' : 'w'; });
  store_windows(settings, window_of(settings, usual_window), layer_types(settings, config.n_layers).value_or(letters),
                config);
}

void read_smollm3_layers(const Settings& settings, GptConfig& config) {
  constexpr int64_t usual_interval = 4;
  const int64_t interval = settings.size("no_rope_layer_interval", usual_interval);
  std::string rotations =
      letters_of(config.n_layers, [&](int64_t layer) { return (layer + 1) % interval == 0 ? 'n' : 'r'; });
  if (const auto* list = settings.find("no_rope_layers")) {
    rotations = listed_rotations(settings, *list, config.n_layers);
  }
  config.rope_pattern = shortest_pattern(rotations, 'r');
  const bool used = settings.flag("use_sliding_window", false);
  const int64_t given = window_of(settings, 0);
  const int64_t window = used ? given : 0;
  std::string windows = rotations;
  std::transform(rotations.begin(), rotations.end(), windows.begin(),
                 [&](char rotation) { return window != 0 && rotation == 'n' ? 'w' : 'f'; });
  store_windows(settings, window, layer_types(settings, config.n_layers).value_or(windows), config);
}

}  // namespace hessian::models
