#pragma once

#include <vector>

#include "tokenizers/json_fields.h"
#include "tokenizers/word_model.h"

namespace hessian::models {

/// The tokens that a tokenizer puts before and after a text.
struct Frame {
  TokenIds before;
  TokenIds after;
};

/// Reads the "post_processor" of a tokenizer.json.
/// \throws std::runtime_error  for a post-processor that is not supported, by name
Frame parse_post_processor(const Component& component);

}  // namespace hessian::models
