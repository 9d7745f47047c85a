#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tokenizers/byte_trie.h"
#include "tokenizers/normalizers.h"

namespace hessian::models {

/// A token that is found in a text before the text is split into words.
struct AddedToken {
  std::string content;
  std::string decoded = {};  ///< what its id becomes: the content, normalized if `normalized` is set
  std::int32_t id = 0;
  bool single_word = false;  ///< only where no letter or digit adjoins
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< sought in the normalized text, and itself normalized
  bool special = false;
};

/// A section of a text: an added token, or text between such tokens.
struct Section {
  std::string_view text;
  std::optional<std::int32_t> token;
};

/// The added tokens of a tokenizer.
/// Source: huggingface/tokenizers, tokenizers/src/tokenizer/added_vocabulary.rs.
class AddedTokens {
 public:
  AddedTokens() = default;
  /// \param normalizer  may be empty
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer);

  /// Returns the sections of a text at tokens of one kind: those that are sought in the original text, or those that
  /// are sought in the normalized text.
  std::vector<Section> split(std::string_view text, bool normalized) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }

  /// Returns the token with an id, or nullptr.
  const AddedToken* find(std::int32_t id) const {
    const auto found = positions_.find(id);
    return found == positions_.end() ? nullptr : &tokens_[found->second];
  }

 private:
  std::vector<AddedToken> tokens_;
  ByteTrie original_;  // values are positions in tokens_
  ByteTrie normalized_;
  std::unordered_map<std::int32_t, std::size_t> positions_;  // of ids in tokens_
};

}  // namespace hessian::models
