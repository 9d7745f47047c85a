#include "tokenizers/byte_trie.h"

namespace hessian::models {

void ByteTrie::insert(std::string_view key, std::int32_t value) {
  if (key.empty()) {
    return;
  }
  std::uint64_t node = 0;
  for (const char byte : key) {
    const auto fresh = static_cast<std::uint32_t>(values_.size());
    std::uint32_t& next = edges_[edge(node, byte)];
    if (next == 0) {
      next = fresh;
      values_.push_back(no_value);
    }
    node = next;
  }
  starts_[static_cast<unsigned char>(key[0])] = true;
  if (values_[node] == no_value) {
    values_[node] = value;
  }
}

std::optional<ByteTrie::Match> ByteTrie::find(std::string_view text, std::size_t from) const {
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!starts_[static_cast<unsigned char>(text[begin])]) {
      continue;
    }
    std::optional<Match> longest;
    for_each_prefix(text.substr(begin), [&](std::size_t length, std::int32_t value) {
      longest = Match{begin, begin + length, value};
    });
    if (longest) {
      return longest;
    }
  }
  return std::nullopt;
}

}  // namespace hessian::models
