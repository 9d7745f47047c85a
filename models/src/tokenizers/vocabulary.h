#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace hessian::models {

/// A text that hashes equally as a string and as a view, so that maps can be searched without making a string.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};

template <typename Value>
using TextMap = std::unordered_map<std::string, Value, TextHash, std::equal_to<>>;

/// The tokens of a model, by text and by id.
class Vocabulary {
 public:
  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;
  Vocabulary(const Vocabulary&) = delete;
  Vocabulary& operator=(const Vocabulary&) = delete;
  ~Vocabulary() = default;

  /// Adds a token; a text that exists gets another id. Precondition: id >= 0.
  void add(std::string text, std::int32_t id);

  std::optional<std::int32_t> find(std::string_view text) const;

  /// Returns the text of an id; nothing if no token has it.
  const std::string* text(std::int32_t id) const;

  const TextMap<std::int32_t>& ids() const { return ids_; }

  /// Returns the number of tokens; a text with several ids counts as several.
  std::size_t size() const { return std::max(ids_.size(), texts_.size()); }

  /// Returns the largest id plus 1.
  std::int32_t end_id() const { return end_id_; }

 private:
  TextMap<std::int32_t> ids_;
  std::unordered_map<std::int32_t, const std::string*> texts_;  // point to the keys of ids_
  std::int32_t end_id_ = 0;
};

}  // namespace hessian::models
