#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizers/flat_map.h"
#include "tokenizers/word_model.h"

namespace hessian::models {

/// A byte-pair encoding as a file describes it.
struct BpeDescription {
  Vocabulary vocabulary;
  std::vector<std::pair<std::string, std::string>> merges;  ///< in the order of their ranks
  std::optional<std::int32_t> unknown = {};                 ///< token of characters that are not in the vocabulary
  std::string missing_unknown = {};  ///< name of that token if the vocabulary lacks it: unknown characters are errors
  bool fuse_unknown = false;         ///< one token for several unknown characters in a row
  bool byte_fallback = false;        ///< unknown characters become tokens <0x00> to <0xFF>, one per byte
  bool ignore_merges = false;        ///< a word that is in the vocabulary is one token, whatever the merges make of it
  std::string word_prefix = {};      ///< before every symbol of a word but the first, in the vocabulary
  std::string word_suffix = {};      ///< after the last symbol of a word
  bool byte_level = false;           ///< the vocabulary is in GPT-2's characters, and words are bytes
};

/// A byte-pair encoding.
///
/// A word begins as its characters (or bytes). As long as two adjacent symbols can be merged, the pair of the lowest
/// rank is, and of equal ranks the leftmost. Cost: O(n log n) for a word of n characters.
/// Source: huggingface/tokenizers, tokenizers/src/models/bpe; ids are equal, also where that code has peculiarities.
class Bpe : public WordModel {
 public:
  /// \param source  the file's name, for messages
  /// \throws std::runtime_error  if a merge has a token that is not in the vocabulary
  Bpe(BpeDescription description, std::string source);

  void encode(std::string_view word, TokenIds& ids, WordCache& cache) const override;
  const Vocabulary& vocabulary() const override { return description_.vocabulary; }
  bool takes_bytes() const override { return description_.byte_level; }

 private:
  struct Merge {
    std::uint32_t rank = 0;
    std::int32_t result = 0;
  };
  struct Symbol;
  class Merger;

  void encode_new(std::string_view word, TokenIds& ids) const;
  void encode_segment(std::string_view segment, TokenIds& ids, WordCache& cache) const;
  std::vector<std::int32_t> symbols_of(std::string_view word) const;
  void add_fallback(std::string_view character, std::vector<std::int32_t>& symbols,
                    std::optional<std::int32_t>& pending) const;
  const Merge* merge_of(std::int32_t left, std::int32_t right) const;
  bool marks_separate_words() const;

  BpeDescription description_;
  std::string source_;
  TextMap<std::int32_t> whole_words_;             // byte_level: the vocabulary in bytes, for ignore_merges
  std::array<std::int32_t, 256> byte_ids_{};      // of bytes (byte_level) or ASCII characters; -1: none
  std::array<std::int32_t, 256> fallback_ids_{};  // of <0x00> to <0xFF>; -1: none
  FlatMap<Merge> merges_;
  bool splits_at_marks_ = false;  // whether no merge crosses the beginning of a word that begins with U+2581
};

/// Returns the merges of a vocabulary in which every token was made by one: all divisions of a token into two others.
/// The rank of a merge is the token's id.
/// Source: openai/tiktoken, which searches pairs by the bytes of the result.
std::vector<std::pair<std::string, std::string>> merges_of_ranks(const Vocabulary& vocabulary);

}  // namespace hessian::models
