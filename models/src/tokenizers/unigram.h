#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tokenizers/byte_trie.h"
#include "tokenizers/word_model.h"

namespace hessian::models {

/// A unigram model as a file describes it.
struct UnigramDescription {
  std::vector<std::pair<std::string, double>> pieces;  ///< token and logarithm of its probability; ids are positions
  std::optional<std::int32_t> unknown = {};
  bool byte_fallback = false;  ///< unknown characters become tokens <0x00> to <0xFF>, one per byte
};

/// Divides a word into the tokens of the largest total probability. Cost: linear in the length of the word.
/// Source: Kudo (2018), Subword regularization; huggingface/tokenizers, tokenizers/src/models/unigram/model.rs.
class Unigram : public WordModel {
 public:
  /// \param source  the file's name, for messages
  Unigram(UnigramDescription description, std::string source);

  void encode(std::string_view word, TokenIds& ids, WordCache& cache) const override;
  const Vocabulary& vocabulary() const override { return vocabulary_; }

 private:
  struct Node;
  std::vector<Node> best_path(std::string_view word) const;
  void append(std::string_view token, TokenIds& ids) const;
  std::int32_t unknown() const;

  UnigramDescription description_;
  std::string source_;
  Vocabulary vocabulary_;
  ByteTrie trie_;
  double unknown_score_ = 0;
};

}  // namespace hessian::models
