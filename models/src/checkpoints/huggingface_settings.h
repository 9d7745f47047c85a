#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hessian::models {

/// Reads the values of a config.json of Hugging Face, or of an object inside it. A null counts as absent, except in contains().
/// Every function throws a std::runtime_error of one line that names the file and the key.
///
/// Remembers which keys were asked for, so that refuse_unread() finds those that change the computation and were not.
class HuggingFaceSettings {
 public:
  /// \param prefix  printed before the keys of an object inside the file: "rope_scaling."
  HuggingFaceSettings(nlohmann::json json, std::string path, std::string prefix = "");

  const std::string& path() const { return path_; }
  const nlohmann::json& contents() const { return json_; }
  /// Returns a key as it is printed in messages.
  std::string name_of(const char* key) const { return prefix_ + key; }

  /// Returns the value of a key, nullptr if it is absent or null.
  const nlohmann::json* find(const char* key) const;
  /// Returns whether a key is there, even if it is null: in some families null has another meaning than absence.
  bool contains(const char* key) const;

  /// Returns a positive integer below 2^31, so that products of two cannot overflow.
  /// \param fallback  value of an absent key; without one the key is required
  int64_t size(const char* key, std::optional<int64_t> fallback = std::nullopt) const;
  bool flag(const char* key, bool fallback) const;
  double positive(const char* key, std::optional<double> fallback = std::nullopt) const;
  std::string text(const char* key, const char* fallback) const;
  std::vector<double> positive_numbers(const char* key) const;
  /// Returns the object under a key; nothing if it is absent, null or empty.
  std::optional<HuggingFaceSettings> object(const char* key) const;

  /// Refuses an object that has a key which is not null and not one of these.
  void refuse_other_keys(std::initializer_list<const char*> known) const;
  /// Refuses every key that changes what a model computes in some architecture of transformers, that was not asked for, and
  /// whose value is not the neutral one.
  void refuse_unread() const;
  [[noreturn]] void expected(const char* key, const nlohmann::json& value, const std::string& wanted) const;
  [[noreturn]] void missing(const char* key) const;

 private:
  double positive_number(const char* key, const nlohmann::json& value) const;

  nlohmann::json json_;
  std::string path_;
  std::string prefix_;
  mutable std::set<std::string> read_;
};

}  // namespace hessian::models
