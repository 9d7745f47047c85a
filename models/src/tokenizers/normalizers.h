#pragma once

#include <functional>
#include <string>

#include "tokenizers/json_fields.h"

namespace hessian::models {

/// Rewrites a text before it is split. Must not be called with an empty text.
using Normalizer = std::function<std::string(std::string text)>;

/// Reads the "normalizer" of a tokenizer.json.
/// \throws std::runtime_error  for a normalizer that is not supported, by name
Normalizer parse_normalizer(const Component& component);

/// Returns the "pattern" of a Replace or a Split: a literal String or a Regex.
class Regex;
Regex parse_pattern(const Component& component);

/// Returns the text with all matches of a pattern replaced.
std::string replace_all(const std::string& text, const Regex& pattern, const std::string& replacement);

}  // namespace hessian::models
