#pragma once

#include <functional>
#include <string>
#include <vector>

#include "tokenizers/json_fields.h"

namespace hessian::models {

/// Rewrites the texts of tokens; the decoded text is what all of them yield together.
using Decoder = std::function<std::vector<std::string>(std::vector<std::string> tokens)>;

/// Reads the "decoder" of a tokenizer.json. A decoder that is not supported throws once it is used: encoding does
/// without.
Decoder parse_decoder(const Component& component);

/// Returns the decoder that turns GPT-2's characters into bytes.
Decoder byte_level_decoder();

}  // namespace hessian::models
