#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// Reads the meta.pkl of nanoGPT's character-level data sets: a token per character.
/// \param source  the file's name, for messages
/// \throws std::runtime_error  one line, beginning with `source`
/// Source: karpathy/nanoGPT, data/shakespeare_char/prepare.py.
EncoderPointer parse_character_pickle(std::span<const std::byte> bytes, const std::string& source);

}  // namespace hessian::models
