#pragma once

#include <cstdint>
#include <optional>

#include "gguf/gguf.h"
#include "tokenizers/encoder.h"

namespace hessian::models {

/// The tokenizer of a GGUF file.
struct GgufTokenizer {
  EncoderPointer encoder;
  std::optional<std::int32_t> begin;  ///< the file's token that begins a text
  std::optional<std::int32_t> end;    ///< the file's token that ends one
};

/// Reads the tokenizer in the metadata of a GGUF file: "gpt2" (byte-level BPE, see parse_gguf_bpe), or "llama" (BPE of
/// sentencepiece: pairs are merged in the order of their scores, unknown characters become bytes).
/// \throws std::runtime_error  one line, beginning with the file; kinds that are not supported are named
/// Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, src/llama-vocab.cpp.
GgufTokenizer parse_gguf_tokenizer(const GgufMetadata& metadata);

}  // namespace hessian::models
