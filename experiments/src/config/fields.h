#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "config/words.h"

namespace hessian::experiments {

/// A value that configurations and command lines spell as one of a list of words; see word_target().
struct WordTarget {
  std::vector<std::string> accepted;
  std::function<std::string()> get;  ///< returns the word of the current value, or an empty text if there is none
  std::function<void(const std::string&)> set;
};

/// A list of values that are spelled as words.
struct WordListTarget {
  std::function<std::vector<std::string>()> get;
  std::function<void(const std::vector<std::string>&)> set;
};

/// A number of bytes: a whole number in configurations, and an amount such as 8GiB on command lines.
struct BytesTarget {
  std::optional<int64_t>* bytes = nullptr;
};

/// The variable that holds the value of a configuration key. An optional without a value is left out of a written
/// configuration.
using ConfigTarget = std::variant<bool*, int64_t*, double*, std::string*, std::vector<int64_t>*, std::vector<double>*,
                                  std::vector<std::string>*, uint64_t*, std::optional<int64_t>*, std::filesystem::path*,
                                  WordTarget, WordListTarget, BytesTarget>;

/// A key of a configuration file: its dotted name, as in optimizer.lr, and the member that it sets. The member's
/// initial value is the key's default. A field without a key exists on the command line only.
struct ConfigField {
  std::string key;
  ConfigTarget target;
  std::string help;
};

/// The keys of one kind of configuration. This list alone determines how configurations are read and written, which key
/// is suggested for a misspelled one, and what the help text says.
using ConfigFields = std::vector<ConfigField>;

/// Returns the target of an enumeration; the words are in the order of its values.
template <class Enum>
WordTarget word_target(Enum& value, const std::vector<std::string>& words) {
  return {words, [&value, words] { return words.at(static_cast<std::size_t>(value)); },
          [&value, words](const std::string& word) { value = static_cast<Enum>(index_of_word(word, words)); }};
}

/// Returns the target of an optional enumeration.
/// \param absent  the word that a written configuration has if there is no value; empty: the key is left out
template <class Enum>
WordTarget word_target(std::optional<Enum>& value, const std::vector<std::string>& words,
                       const std::string& absent = {}) {
  return {words, [&value, words, absent] { return value ? words.at(static_cast<std::size_t>(*value)) : absent; },
          [&value, words](const std::string& word) { value = static_cast<Enum>(index_of_word(word, words)); }};
}

/// Reads a TOML file and then the settings, "key=value" each, whose values are TOML or plain words.
/// \throws std::runtime_error     if the file cannot be read
/// \throws std::invalid_argument  one line, for invalid TOML, an unknown key (suggesting the most similar known one) or
///                                a value of another type
void read_config_file(const std::string& path, const std::vector<std::string>& settings, const ConfigFields& fields);

/// Reads TOML text; messages call it `source`.
/// \throws std::invalid_argument  as read_config_file
void read_config_text(const std::string& text, const std::string& source, const ConfigFields& fields);

/// Writes all values as TOML: keys and sections in alphabetical order, numbers with the fewest digits that read back as
/// the same number.
std::string write_config(const ConfigFields& fields);

/// Returns one key's value as TOML, or an empty text for an optional without a value.
std::string value_text(const ConfigField& field);

/// Returns a line per key: its name, meaning and default.
std::string config_help(const ConfigFields& fields);

}  // namespace hessian::experiments
