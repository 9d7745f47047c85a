#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gguf/gguf.h"
#include "tokenizers/post_processor.h"

namespace hessian::models {

/// What a token of a GGUF file is, numbered as in the file and in sentencepiece.
enum class GgufTokenType : std::int32_t { normal = 1, unknown, control, user_defined, unused, byte };

struct GgufToken {
  std::string text;
  GgufTokenType type = GgufTokenType::normal;
};

/// The tokens of a GGUF file, with their ids as positions.
struct GgufVocabulary {
  std::vector<GgufToken> tokens;
  std::optional<std::int32_t> begin;
  std::optional<std::int32_t> end;
};

/// Reads the tokens and the ids of special ones. An empty token gets a text that no other has, as in llama.cpp.
/// \throws std::runtime_error  one line; also for a text that two tokens have, or an id that no token has
GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata);

/// Reads which tokens are put around a text.
/// \param adds_begin  whether a beginning token is put before it if the file does not say so
/// \throws std::runtime_error  if the file asks for a token that it does not name
Frame read_gguf_frame(const GgufMetadata& metadata, const GgufVocabulary& vocabulary, bool adds_begin);

}  // namespace hessian::models
