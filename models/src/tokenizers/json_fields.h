#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {

/// A component of a tokenizer.json: its object, and its place for messages.
struct Component {
  const nlohmann::json& json;
  const std::string& source;  ///< the file
  std::string name;           ///< "the normalizer", "the pre-tokenizer", ...

  /// Returns the word under "type".
  std::string type() const { return text("type"); }

  /// Returns the value of a key.
  /// \throws std::runtime_error  "tokenizer.json: the normalizer Replace has no 'content'"
  const nlohmann::json& at(const char* key) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) {
      fail(source, "{} has no '{}'", label(), key);
    }
    return *value;
  }

  /// Returns the value of a key, or nullptr if it is absent or null.
  const nlohmann::json* find(const char* key) const {
    if (!json.is_object()) {
      fail(source, "{} is {}, expected an object", name, json_text(json));
    }
    const auto value = json.find(key);
    return value == json.end() || value->is_null() ? nullptr : &*value;
  }

  std::string text(const char* key) const {
    const nlohmann::json& value = at(key);
    if (!value.is_string()) {
      fail(source, "'{}' of {} is {}, expected a text", key, label(), json_text(value));
    }
    return value.get<std::string>();
  }

  std::string text(const char* key, const std::string& otherwise) const {
    return find(key) == nullptr ? otherwise : text(key);
  }

  bool flag(const char* key, bool otherwise) const {
    const nlohmann::json* value = find(key);
    if (value == nullptr) {
      return otherwise;
    }
    if (!value->is_boolean()) {
      fail(source, "'{}' of {} is {}, expected true or false", key, label(), json_text(*value));
    }
    return value->get<bool>();
  }

  const nlohmann::json& list(const char* key) const {
    const nlohmann::json& value = at(key);
    if (!value.is_array()) {
      fail(source, "'{}' of {} is {}, expected a list", key, label(), json_text(value));
    }
    return value;
  }

  /// Returns an element of a list of components of the same kind.
  Component child(const nlohmann::json& element) const { return {element, source, name}; }

  /// \throws std::runtime_error  "tokenizer.json: the normalizer 'BertNormalizer' is not supported; supported are ..."
  [[noreturn]] void refuse(std::string_view supported) const {
    fail(source, "{} {} is not supported; supported are {}", name, name_text(type()), supported);
  }

  /// Returns the component's name with its type: "the normalizer Replace".
  std::string label() const {
    const auto word = json.is_object() ? json.find("type") : json.end();
    return word != json.end() && word->is_string() ? name + " " + name_text(word->get<std::string>()) : name;
  }
};

}  // namespace hessian::models
