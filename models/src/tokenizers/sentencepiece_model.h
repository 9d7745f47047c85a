#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// Reads a tokenizer.model of sentencepiece with sentencepiece's own library.
/// \param source  the file's name, for messages
/// \param frame   the tokens around a text; by default the model's beginning token before it
/// \throws std::runtime_error  one line, beginning with `source`
EncoderPointer parse_sentencepiece(std::string_view bytes, const std::string& source,
                                   std::optional<Frame> frame = std::nullopt);

}  // namespace hessian::models
