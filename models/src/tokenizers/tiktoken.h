#pragma once

#include <string>
#include <string_view>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// Whether the file is a list of tokens in base64 and their ranks.
bool looks_like_tiktoken(std::string_view text);

/// Reads the tokenizer.model of Llama 3: per line a token in base64 and its rank. The file lists no special tokens and
/// no regular expression: those of Llama 3 are added, its 256 special tokens after the last rank.
/// \param source  the file's name, for messages
/// \throws std::runtime_error  one line, beginning with `source`
/// Source: meta-llama/llama3, llama/tokenizer.py; openai/tiktoken.
EncoderPointer parse_tiktoken(std::string_view text, const std::string& source);

}  // namespace hessian::models
