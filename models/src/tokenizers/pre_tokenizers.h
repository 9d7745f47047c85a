#pragma once

#include <functional>
#include <vector>

#include "tokenizers/json_fields.h"
#include "tokenizers/pieces.h"

namespace hessian::models {

/// Splits pieces of a text further, and may rewrite them.
using PreTokenizer = std::function<void(Pieces& pieces)>;

/// The steps that divide a text into the words that a model encodes.
struct PreTokenization {
  std::vector<PreTokenizer> steps;
  /// Whether the last step, which is left out of `steps`, replaces bytes by GPT-2's characters. A model that works on
  /// bytes does not need it.
  bool ends_in_bytes = false;
};

/// Reads the "pre_tokenizer" of a tokenizer.json.
/// \throws std::runtime_error  for a pre-tokenizer that is not supported, by name
PreTokenization parse_pre_tokenizer(const Component& component);

/// Returns the step that replaces bytes by GPT-2's characters.
PreTokenizer byte_characters_step();

/// Returns GPT-2's pre-tokenization.
PreTokenization gpt2_pre_tokenization(const std::string& source);

/// Returns the pre-tokenization that isolates the matches of a regular expression and then works on bytes.
PreTokenization pattern_pre_tokenization(const class Regex& pattern);

}  // namespace hessian::models
