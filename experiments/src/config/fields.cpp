#include "config/fields.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <type_traits>
#include <utility>

#include "config/suggested_key.h"

namespace hessian::experiments {
namespace {

template <class T>
constexpr const char* type_name = "";
template <>
constexpr const char* type_name<bool> = "true or false";
template <>
constexpr const char* type_name<int64_t> = "a whole number";
template <>
constexpr const char* type_name<double> = "a number";
template <>
constexpr const char* type_name<std::string> = "a text";

/// Shortens a text to one line for a message.
std::string shortened(std::string text) {
  constexpr std::size_t max_length = 80;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.size() <= max_length ? text : text.substr(0, max_length) + "...";
}

[[noreturn]] void refuse_value(const std::string& source, const std::string& key, const toml::node& value,
                               const std::string& expected) {
  std::ostringstream found;
  value.visit([&found](const auto& node) { found << node; });
  throw std::invalid_argument(fmt::format("{}: {} is {}, expected {}", source, key, shortened(found.str()), expected));
}

/// Sets the target if the value has its type; a double also takes a whole number.
template <class T>
bool assign(T* target, const toml::node& value) {
  if constexpr (std::is_same_v<T, double>) {
    const auto number = value.value<double>();
    *target = number.value_or(*target);
    return number.has_value() && value.is_number();
  } else {
    const auto exact = value.value_exact<T>();
    *target = exact.value_or(*target);
    return exact.has_value();
  }
}

template <class T>
void read_value(T* target, const toml::node& value, const std::string& source, const std::string& key) {
  if (!assign(target, value)) {
    refuse_value(source, key, value, type_name<T>);
  }
}

template <class T>
void read_value(std::vector<T>* target, const toml::node& value, const std::string& source, const std::string& key) {
  target->clear();
  const toml::array* array = value.as_array();
  bool right = array != nullptr;
  for (std::size_t i = 0; right && i < array->size(); ++i) {
    T element{};
    right = assign(&element, *array->get(i));
    target->push_back(std::move(element));
  }
  if (!right) {
    refuse_value(source, key, value, fmt::format("a list, each entry {}", type_name<T>));
  }
}

void read_value(uint64_t* target, const toml::node& value, const std::string& source, const std::string& key) {
  int64_t number = -1;
  if (!assign(&number, value) || number < 0) {
    refuse_value(source, key, value, "a whole number from 0 on");
  }
  *target = static_cast<uint64_t>(number);
}

void read_value(std::optional<int64_t>* target, const toml::node& value, const std::string& source,
                const std::string& key) {
  read_value(&target->emplace(), value, source, key);
}

void read_value(std::filesystem::path* target, const toml::node& value, const std::string& source,
                const std::string& key) {
  std::string text;
  read_value(&text, value, source, key);
  *target = text;
}

void read_value(const WordTarget& target, const toml::node& value, const std::string& source, const std::string& key) {
  std::string word;
  read_value(&word, value, source, key);
  if (std::find(target.accepted.begin(), target.accepted.end(), word) == target.accepted.end()) {
    refuse_value(source, key, value, fmt::format("one of {}", fmt::join(target.accepted, ", ")));
  }
  target.set(word);
}

void read_value(const WordListTarget& target, const toml::node& value, const std::string& source,
                const std::string& key) {
  std::vector<std::string> words;
  read_value(&words, value, source, key);
  target.set(words);
}

void read_value(const BytesTarget& target, const toml::node& value, const std::string& source, const std::string& key) {
  read_value(target.bytes, value, source, key);
}

[[noreturn]] void refuse_key(const std::string& source, const std::string& key, const ConfigFields& fields) {
  std::vector<std::string> known;
  std::transform(fields.begin(), fields.end(), std::back_inserter(known),
                 [](const ConfigField& field) { return field.key; });
  throw std::invalid_argument(
      fmt::format("{}: there is no key '{}'; did you mean '{}'?", source, key, suggested_key(key, known)));
}

bool is_section(const std::string& prefix, const ConfigFields& fields) {
  return std::any_of(fields.begin(), fields.end(),
                     [&](const ConfigField& field) { return field.key.starts_with(prefix + "."); });
}

void read_table(const toml::table& table, const std::string& prefix, const std::string& source,
                const ConfigFields& fields) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix.empty() ? std::string(name.str()) : prefix + "." + std::string(name.str());
    const auto found =
        std::find_if(fields.begin(), fields.end(), [&key](const ConfigField& field) { return field.key == key; });
    if (found != fields.end()) {
      std::visit([&, &value = node](const auto& target) { read_value(target, value, source, key); }, found->target);
    } else if (node.is_table() && (is_section(key, fields) || !node.as_table()->empty())) {
      read_table(*node.as_table(), key, source, fields);
    } else {
      refuse_key(source, key, fields);
    }
  }
}

toml::table parse(const std::string& text, const std::string& source) {
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw std::invalid_argument(fmt::format("{}: line {}, column {}: {}", source, error.source().begin.line,
                                            error.source().begin.column, error.description()));
  }
}

/// Returns a text as a TOML value, quoted.
std::string quoted(const std::string& text) {
  std::ostringstream stream;
  stream << toml::value<std::string>(text);
  return stream.str();
}

/// Returns whether a key takes a text and its value was given without quotes.
bool is_bare_text(const std::string& key, const std::string& value, const ConfigFields& fields) {
  const auto field = std::find_if(fields.begin(), fields.end(), [&](const ConfigField& f) { return f.key == key; });
  return field != fields.end() && std::holds_alternative<std::string*>(field->target) && !value.starts_with('"') &&
         !value.starts_with('\'');
}

/// Reads "key=value" as a table. A value that is not TOML, or belongs to a key that takes a text, is a plain word.
toml::table parse_setting(const std::string& setting, const ConfigFields& fields) {
  const auto equals = setting.find('=');
  if (equals == std::string::npos || equals == 0) {
    throw std::invalid_argument("--set '" + setting + "': expected KEY=VALUE, as in optimizer.lr=1e-3");
  }
  const std::string key = setting.substr(0, equals);
  const std::string value = setting.substr(equals + 1);
  if (!is_bare_text(key, value, fields)) {
    try {
      return toml::parse(key + " = " + value);
    } catch (const toml::parse_error&) {
      // Not TOML: read as a plain word below.
    }
  }
  return parse(key + " = " + quoted(value), "--set '" + setting + "'");
}

std::string text_of(bool value) {
  return value ? "true" : "false";
}

std::string text_of(int64_t value) {
  return fmt::format("{}", value);
}

/// Returns the fewest digits that read back as the same number. Adds a point where TOML would read an integer.
std::string text_of(double value) {
  const std::string text = fmt::format("{}", value);
  return text.find_first_of(".enif") == std::string::npos ? text + ".0" : text;
}

std::string text_of(const std::string& value) {
  return quoted(value);
}

template <class T>
std::string text_of(const std::vector<T>& values) {
  std::vector<std::string> texts;
  std::transform(values.begin(), values.end(), std::back_inserter(texts),
                 [](const T& value) { return text_of(value); });
  return texts.empty() ? "[]" : fmt::format("[ {} ]", fmt::join(texts, ", "));
}

std::string text_of(uint64_t value) {
  return text_of(static_cast<int64_t>(value));
}

std::string text_of(const std::optional<int64_t>& value) {
  return value ? text_of(*value) : "";
}

std::string text_of(const std::filesystem::path& value) {
  return quoted(value.string());
}

std::string text_of(const WordTarget& target) {
  const std::string word = target.get();
  return word.empty() ? "" : quoted(word);
}

std::string text_of(const WordListTarget& target) {
  return text_of(target.get());
}

std::string text_of(const BytesTarget& target) {
  return text_of(*target.bytes);
}

}  // namespace

void read_config_text(const std::string& text, const std::string& source, const ConfigFields& fields) {
  read_table(parse(text, source), "", source, fields);
}

void read_config_file(const std::string& path, const std::vector<std::string>& settings, const ConfigFields& fields) {
  std::error_code error;
  std::ifstream file(path);
  if (!file || !std::filesystem::is_regular_file(std::filesystem::status(path, error))) {
    throw std::runtime_error(path + ": " + (std::filesystem::exists(path, error) ? "cannot be read" : "no such file") +
                             "; expected a configuration in TOML");
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  read_config_text(text, path, fields);
  for (const std::string& setting : settings) {
    read_table(parse_setting(setting, fields), "", "--set", fields);
  }
}

std::string write_config(const ConfigFields& fields) {
  std::map<std::string, std::map<std::string, std::string>> sections;
  for (const ConfigField& field : fields) {
    const std::string value = value_text(field);
    if (!field.key.empty() && !value.empty()) {
      const auto dot = field.key.rfind('.');
      const bool has_section = dot != std::string::npos;
      sections[has_section ? field.key.substr(0, dot) : ""][has_section ? field.key.substr(dot + 1) : field.key] =
          value;
    }
  }
  std::string text;
  for (const auto& [name, values] : sections) {
    text += name.empty() ? "" : fmt::format("{}[{}]\n", text.empty() ? "" : "\n", name);
    for (const auto& [key, value] : values) {
      text += fmt::format("{} = {}\n", key, value);
    }
  }
  return text;
}

std::string value_text(const ConfigField& field) {
  return std::visit(
      []<class Target>(const Target& target) {
        if constexpr (std::is_pointer_v<Target>) {
          return text_of(*target);
        } else {
          return text_of(target);
        }
      },
      field.target);
}

std::string config_help(const ConfigFields& fields) {
  std::string text;
  for (const ConfigField& field : fields) {
    text += fmt::format("  {:<28} {}  [{}]\n", field.key, field.help, value_text(field));
  }
  return text;
}

}  // namespace hessian::experiments
