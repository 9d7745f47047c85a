#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace hessian::experiments {

/// Where the value of a configuration key lives.
using ConfigTarget = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<double>*,
                                  std::vector<std::string>*>;

/// A key of a configuration file: its dotted name, as in optimizer.lr, and the member that it sets. The member's
/// initial value is the key's default.
struct ConfigField {
  std::string key;
  ConfigTarget target;
  std::string help;
};

/// The keys of one kind of configuration. What is read, written, suggested and printed as help all comes from this
/// list.
using ConfigFields = std::vector<ConfigField>;

/// Reads a TOML file and then the settings, "key=value" each, whose values are TOML or plain words.
/// \throws std::runtime_error     if the file cannot be read
/// \throws std::invalid_argument  one line for what is no TOML, an unknown key (with the nearest one that there is) or
///                                a value of another type
void read_config_file(const std::string& path, const std::vector<std::string>& settings, const ConfigFields& fields);

/// The same for TOML text; `source` is what messages call it.
void read_config_text(const std::string& text, const std::string& source, const ConfigFields& fields);

/// All values as TOML text, in the order of their sections.
std::string write_config(const ConfigFields& fields);

/// One key's value as TOML.
std::string value_text(const ConfigField& field);

/// A line for each key: its name, default and meaning.
std::string config_help(const ConfigFields& fields);

/// The word of `known` that differs from `word` by the fewest insertions, deletions and replacements of characters.
/// Source: Levenshtein (1966).
std::string nearest_word(const std::string& word, const std::vector<std::string>& known);

}  // namespace hessian::experiments
