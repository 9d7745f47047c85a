#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "tokenizers/flat_map.h"

namespace hessian::models {

/// A set of byte strings, each with a number, that finds those of them with which a text begins.
class ByteTrie {
 public:
  ByteTrie() : values_(1, no_value) {}

  /// Adds a string. If it exists already, it keeps its number. The empty string is ignored.
  void insert(std::string_view key, std::int32_t value);

  /// Calls `visit(length, value)` for each string with which `text` begins, in the order of their lengths.
  /// Cost: linear in the length of the longest string that agrees with the text.
  template <typename Visit>
  void for_each_prefix(std::string_view text, const Visit& visit) const {
    std::uint64_t node = 0;
    for (std::size_t length = 0;; ++length) {
      if (values_[node] != no_value) {
        visit(length, values_[node]);
      }
      if (length == text.size()) {
        return;
      }
      const std::uint32_t* next = edges_.find(edge(node, text[length]));
      if (next == nullptr) {
        return;
      }
      node = *next;
    }
  }

  struct Match {
    std::size_t begin = 0;
    std::size_t end = 0;
    std::int32_t value = 0;
  };

  /// Returns the leftmost match that begins at or after `from`; of several that begin at the same place, the longest.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  static constexpr std::int32_t no_value = -1;

  static std::uint64_t edge(std::uint64_t node, char byte) { return node << 8U | static_cast<unsigned char>(byte); }

  std::vector<std::int32_t> values_;  // per node
  FlatMap<std::uint32_t> edges_;
  bool starts_[256] = {};  // bytes with which a string begins
};

}  // namespace hessian::models
