#include "content/run_labels.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

namespace hessian::analysis {
namespace {

/// Keys with their values as text: `optimizer.lr` -> `0.01`.
using FlatConfig = std::map<std::string, std::string>;

constexpr std::string_view fresh_prefix = "new:";

/// Returns whether a key distinguishes runs: keys of output paths and of speed do not.
bool distinguishes_runs(const std::string& key) {
  static const std::set<std::string> silent = {"out",
                                               "threads",
                                               "device",
                                               "probe.device",
                                               "probe.memory_bytes",
                                               "spectrum.device",
                                               "spectrum.memory_bytes",
                                               "sweep.jobs"};
  return silent.count(key) == 0;
}

std::string value_text(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    return text->get();
  }
  if (const auto* number = node.as_floating_point()) {
    return fmt::format("{:.4g}", number->get());
  }
  std::ostringstream stream;
  node.visit([&stream](const auto& value) { stream << value; });
  return stream.str();
}

void flatten(const toml::table& table, const std::string& prefix, FlatConfig& flat) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const auto* inner = node.as_table()) {
      flatten(*inner, key + ".", flat);
    } else if (distinguishes_runs(key)) {
      flat[key] = value_text(node);
    }
  }
}

/// Returns the label of the run's model, which the file stores next to the architecture; empty for older files.
std::string model_label(const RunContent& run) {
  const auto model = nlohmann::json::parse(run.info.model, nullptr, /*allow_exceptions=*/false);
  const auto label = model.is_object() ? model.find("label") : model.end();
  return label != model.end() && label->is_string() ? label->get<std::string>() : "";
}

bool names_the_model(const std::string& key) {
  return key == "model.name" || key == "probe.model" || key == "spectrum.model";
}

/// Replaces the name of a fresh model by its label: keys such as `model.dim` may have changed the size in its name.
void replace_model_name(const RunContent& run, FlatConfig& flat) {
  const std::string label = model_label(run);
  for (auto& [key, value] : flat) {
    if (names_the_model(key) && value.starts_with(fresh_prefix)) {
      value = label.empty() ? value.substr(fresh_prefix.size()) : label;
    }
  }
}

/// Returns the keys of a run's configuration that distinguish runs; empty if it cannot be parsed.
FlatConfig flat_config(const RunContent& run) {
  FlatConfig flat;
  try {
    flatten(toml::parse(run.info.config), "", flat);
  } catch (const toml::parse_error&) {
    return flat;
  }
  if (flat.contains("sweep.models")) {
    for (const char* varied : {"model.name", "optimizer.lr", "seed"}) {
      flat.erase(varied);  // the sweep's lists replace them
    }
  }
  replace_model_name(run, flat);
  return flat;
}

/// Orders numbers by value, words alphabetically.
bool comes_before(const std::string& a, const std::string& b) {
  double x = 0;
  double y = 0;
  const auto is_number = [](const std::string& text, double& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
  };
  return is_number(a, x) && is_number(b, y) ? x < y : a < b;
}

/// Returns the keys that all configurations have and whose values differ, the most telling ones first.
std::vector<std::string> differing_keys(const std::vector<FlatConfig>& configs) {
  static constexpr std::array telling = {"model.name", "probe.model", "spectrum.model", "optimizer.lr",
                                         "seed",       "probe.seed",  "spectrum.seed"};
  std::vector<std::string> keys;
  for (const auto& [key, value] : configs.front()) {
    bool in_all = true;
    bool differs = false;
    for (const FlatConfig& config : configs) {
      const auto found = config.find(key);
      in_all = in_all && found != config.end();
      differs = differs || (found != config.end() && found->second != value);
    }
    if (in_all && differs) {
      keys.push_back(key);
    }
  }
  const auto rank = [](const std::string& key) {
    return std::find(telling.begin(), telling.end(), key) - telling.begin();
  };
  std::stable_sort(keys.begin(), keys.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
  return keys;
}

/// Formats one difference: a model as its name only, other values after the last word of their key.
std::string difference_text(const std::string& key, const std::string& value) {
  return names_the_model(key) ? value : key.substr(key.rfind('.') + 1) + " " + value;
}

std::string joined(const FlatConfig& config, const std::vector<std::string>& keys) {
  constexpr std::size_t max_differences = 3;
  std::string label;
  for (std::size_t i = 0; i < std::min(keys.size(), max_differences); ++i) {
    label += (i == 0 ? "" : ", ") + difference_text(keys[i], config.at(keys[i]));
  }
  return label;
}

/// Returns the shortest ends of the paths that distinguish them.
std::vector<std::string> file_labels(const std::vector<RunContent>& runs) {
  constexpr std::size_t deepest = 8;
  std::vector<std::string> labels;
  for (std::size_t depth = 1; depth <= deepest; ++depth) {
    labels.clear();
    for (const RunContent& run : runs) {
      std::filesystem::path end = run.path.filename();
      std::filesystem::path folder = run.path.parent_path();
      for (std::size_t i = 1; i < depth && folder.has_filename(); ++i, folder = folder.parent_path()) {
        end = folder.filename() / end;
      }
      labels.push_back(end.string());
    }
    if (std::set<std::string>(labels.begin(), labels.end()).size() == labels.size()) {
      break;
    }
  }
  return labels;
}

}  // namespace

void sort_by_difference(std::vector<RunContent>& runs) {
  std::vector<std::pair<FlatConfig, RunContent>> sorted;
  for (RunContent& run : runs) {
    FlatConfig config = flat_config(run);
    sorted.emplace_back(std::move(config), std::move(run));
  }
  const auto program = [](const auto& entry) -> const std::string& { return entry.second.info.program; };
  std::stable_sort(sorted.begin(), sorted.end(), [&](const auto& a, const auto& b) { return program(a) < program(b); });
  for (auto first = sorted.begin(); first != sorted.end();) {
    const auto last =
        std::find_if(first, sorted.end(), [&](const auto& entry) { return program(entry) != program(*first); });
    std::vector<FlatConfig> configs;
    std::transform(first, last, std::back_inserter(configs), [](const auto& entry) { return entry.first; });
    const std::vector<std::string> keys = differing_keys(configs);
    std::stable_sort(first, last, [&keys](const auto& a, const auto& b) {
      const auto key =
          std::find_if(keys.begin(), keys.end(), [&](const std::string& k) { return a.first.at(k) != b.first.at(k); });
      return key != keys.end() && comes_before(a.first.at(*key), b.first.at(*key));
    });
    first = last;
  }
  std::transform(sorted.begin(), sorted.end(), runs.begin(), [](auto& entry) { return std::move(entry.second); });
}

std::vector<std::string> run_labels(const std::vector<RunContent>& runs) {
  const std::vector<std::string> files = file_labels(runs);
  std::vector<std::string> labels = files;
  // Only configurations of one program are compared.
  std::map<std::string, std::vector<std::size_t>> of_programs;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    of_programs[runs[i].info.program].push_back(i);
  }
  for (const auto& [program, places] : of_programs) {
    std::vector<FlatConfig> configs;
    std::transform(places.begin(), places.end(), std::back_inserter(configs),
                   [&runs](std::size_t i) { return flat_config(runs[i]); });
    const std::vector<std::string> keys = differing_keys(configs);
    for (std::size_t i = 0; i < places.size() && !keys.empty(); ++i) {
      labels[places[i]] = joined(configs[i], keys);
    }
  }
  // Runs that share a label are distinguished by their files.
  std::map<std::string, int> times;
  for (const std::string& label : labels) {
    ++times[label];
  }
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (times[labels[i]] > 1) {
      labels[i] += " (" + files[i] + ")";
    }
  }
  return labels;
}

}  // namespace hessian::analysis
