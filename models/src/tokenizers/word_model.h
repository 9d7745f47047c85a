#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizers/vocabulary.h"

namespace hessian::models {

using TokenIds = std::vector<std::int32_t>;

/// The words that one thread has encoded, with their ids: words repeat. Its memory is limited.
class WordCache {
 public:
  /// Appends the ids of a known word and returns true.
  bool append(std::string_view word, TokenIds& ids) const {
    const auto found = words_.find(word);
    if (found == words_.end()) {
      return false;
    }
    const auto begin = pool_.begin() + static_cast<std::ptrdiff_t>(found->second.begin);
    ids.insert(ids.end(), begin, begin + static_cast<std::ptrdiff_t>(found->second.count));
    return true;
  }

  /// Remembers the ids from position `begin` on, unless the word is long or the cache is full.
  void remember(std::string_view word, const TokenIds& ids, std::size_t begin) {
    if (word.size() > max_word_bytes || words_.size() >= max_words) {
      return;
    }
    words_.emplace(word, Range{pool_.size(), ids.size() - begin});
    pool_.insert(pool_.end(), ids.begin() + static_cast<std::ptrdiff_t>(begin), ids.end());
  }

 private:
  static constexpr std::size_t max_word_bytes = 128;
  static constexpr std::size_t max_words = std::size_t{1} << 18U;

  struct Range {
    std::size_t begin;
    std::size_t count;
  };

  TextMap<Range> words_;
  TokenIds pool_;
};

/// Encodes words: the last step of a tokenizer, which knows the vocabulary. Objects do not change once they are made.
class WordModel {
 public:
  virtual ~WordModel() = default;

  /// Appends the ids of one word, which is not empty.
  virtual void encode(std::string_view word, TokenIds& ids, WordCache& cache) const = 0;

  virtual const Vocabulary& vocabulary() const = 0;

  /// Whether words are bytes of the original text. Otherwise they are text as pre-tokenizers leave it.
  virtual bool takes_bytes() const { return false; }
};

}  // namespace hessian::models
