#include "config/fields.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

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

/// The beginning of a text, as one line.
std::string shortened(std::string text) {
  constexpr std::size_t longest = 80;
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text.size() <= longest ? text : text.substr(0, longest) + "...";
}

[[noreturn]] void refuse_value(const std::string& source, const std::string& key, const toml::node& value,
                               const std::string& expected) {
  std::ostringstream found;
  value.visit([&found](const auto& node) { found << node; });
  throw std::invalid_argument(fmt::format("{}: {} is {}, expected {}", source, key, shortened(found.str()), expected));
}

/// Whole numbers are numbers too; anything else has to be of the very type.
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

[[noreturn]] void refuse_key(const std::string& source, const std::string& key, const ConfigFields& fields) {
  std::vector<std::string> known;
  std::transform(fields.begin(), fields.end(), std::back_inserter(known),
                 [](const ConfigField& field) { return field.key; });
  throw std::invalid_argument(
      fmt::format("{}: there is no key '{}'; did you mean '{}'?", source, key, nearest_word(key, known)));
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
      std::visit([&, &value = node](auto* target) { read_value(target, value, source, key); }, found->target);
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

/// Whether a value is to be read as it stands, without quotes.
bool is_bare_text(const std::string& key, const std::string& value, const ConfigFields& fields) {
  const auto field = std::find_if(fields.begin(), fields.end(), [&](const ConfigField& f) { return f.key == key; });
  return field != fields.end() && std::holds_alternative<std::string*>(field->target) && !value.starts_with('"') &&
         !value.starts_with('\'');
}

/// "key=value" as a table; a value that is no TOML, or of a key that takes a text, is a plain word.
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
      // A plain word.
    }
  }
  toml::table word;
  word.insert("value", value);
  std::ostringstream quoted;
  word.get("value")->visit([&quoted](const auto& node) { quoted << node; });
  return parse(key + " = " + quoted.str(), "--set '" + setting + "'");
}

template <class T>
void insert_value(toml::table& table, const std::string& key, const T* value) {
  table.insert(key, *value);
}

template <class T>
void insert_value(toml::table& table, const std::string& key, const std::vector<T>* values) {
  toml::array array;
  for (const T& value : *values) {
    array.push_back(value);
  }
  table.insert(key, std::move(array));
}

void insert(toml::table& table, const std::string& key, const ConfigTarget& target) {
  const auto dot = key.find('.');
  if (dot != std::string::npos) {
    table.insert(key.substr(0, dot), toml::table{});
    insert(*table.get(key.substr(0, dot))->as_table(), key.substr(dot + 1), target);
    return;
  }
  std::visit([&](const auto* value) { insert_value(table, key, value); }, target);
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
  toml::table table;
  for (const ConfigField& field : fields) {
    insert(table, field.key, field.target);
  }
  std::ostringstream text;
  text << table << '\n';
  return text.str();
}

std::string value_text(const ConfigField& field) {
  toml::table table;
  insert(table, "value", field.target);
  std::ostringstream text;
  table.get("value")->visit([&text](const auto& node) { text << node; });
  return text.str();
}

std::string config_help(const ConfigFields& fields) {
  std::string text;
  for (const ConfigField& field : fields) {
    text += fmt::format("  {:<28} {}  [{}]\n", field.key, field.help, value_text(field));
  }
  return text;
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& known) {
  const auto distance = [&word](const std::string& other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= other.size(); ++j) {
        const std::size_t replaced = diagonal + (word[i - 1] == other[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    return row.back();
  };
  return *std::min_element(known.begin(), known.end(),
                           [&](const std::string& a, const std::string& b) { return distance(a) < distance(b); });
}

}  // namespace hessian::experiments
