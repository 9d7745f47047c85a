#include "content/run_labels.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <sstream>

namespace hessian::analysis {
namespace {

/// Keys with their values as text: `optimizer.lr` -> `0.01`.
using FlatConfig = std::map<std::string, std::string>;

/// Where a run's results go and how fast it is made is no difference between what is shown.
bool names_the_run(const std::string& key) {
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
    } else if (names_the_run(key)) {
      flat[key] = value_text(node);
    }
  }
}

FlatConfig flat_config(const RunContent& run) {
  FlatConfig flat;
  try {
    flatten(toml::parse(run.info.config), "", flat);
  } catch (const toml::parse_error&) {
    // It is named by its file then.
  }
  if (flat.contains("sweep.models")) {
    for (const char* varied : {"model.name", "optimizer.lr", "seed"}) {
      flat.erase(varied);  // the sweep's own lists stand in their place
    }
  }
  return flat;
}

/// Numbers by size, words by their letters.
bool comes_before(const std::string& a, const std::string& b) {
  double x = 0;
  double y = 0;
  const auto is_number = [](const std::string& text, double& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
  };
  return is_number(a, x) && is_number(b, y) ? x < y : a < b;
}

/// Keys that all have and not all agree on, with the most telling ones first.
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

/// A model by its name alone, other values behind the last word of their key.
std::string part_of_label(const std::string& key, const std::string& value) {
  const std::string last_word = key.substr(key.rfind('.') + 1);
  if (key == "model.name" || last_word == "model") {
    return value.starts_with("new:") ? value.substr(4) : value;
  }
  return last_word + " " + value;
}

std::string joined(const FlatConfig& config, const std::vector<std::string>& keys) {
  constexpr std::size_t most_parts = 3;
  std::string label;
  for (std::size_t i = 0; i < std::min(keys.size(), most_parts); ++i) {
    label += (i == 0 ? "" : ", ") + part_of_label(keys[i], config.at(keys[i]));
  }
  return label;
}

/// The ends of paths, as long as is needed to tell them apart.
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
  std::stable_sort(runs.begin(), runs.end(),
                   [](const RunContent& a, const RunContent& b) { return a.info.program < b.info.program; });
  for (auto first = runs.begin(); first != runs.end();) {
    const auto last =
        std::find_if(first, runs.end(), [&](const RunContent& run) { return run.info.program != first->info.program; });
    std::vector<FlatConfig> configs;
    std::transform(first, last, std::back_inserter(configs), flat_config);
    const std::vector<std::string> keys = differing_keys(configs);
    std::stable_sort(first, last, [&keys](const RunContent& a, const RunContent& b) {
      const FlatConfig of_a = flat_config(a);
      const FlatConfig of_b = flat_config(b);
      for (const std::string& key : keys) {
        if (of_a.at(key) != of_b.at(key)) {
          return comes_before(of_a.at(key), of_b.at(key));
        }
      }
      return false;
    });
    first = last;
  }
}

std::vector<std::string> run_labels(const std::vector<RunContent>& runs) {
  const std::vector<std::string> files = file_labels(runs);
  std::vector<std::string> labels = files;
  // Configurations of one program compare.
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
  // Runs of one label are told apart by their files.
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
