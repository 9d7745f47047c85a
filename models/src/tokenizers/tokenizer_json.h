#pragma once

#include <string>
#include <string_view>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// Reads a tokenizer.json of huggingface/tokenizers.
/// \param source  the file's name, for messages
/// \throws std::runtime_error  one line, beginning with `source`; a component that is not supported is named
EncoderPointer parse_tokenizer_json(std::string_view text, const std::string& source);

}  // namespace hessian::models
