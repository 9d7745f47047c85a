#pragma once

#include "gguf/gguf.h"
#include "tokenizers/encoder.h"
#include "tokenizers/gguf_vocabulary.h"

namespace hessian::models {

/// Reads the byte-level BPE of a GGUF file: its tokens and merges. The file names its regular expression
/// (`tokenizer.ggml.pre`); those of GPT-2, SmolLM, Llama 3, Qwen 2 and Falcon are known, and llama.cpp's for files that
/// do not say. Control and user-defined tokens are found in a text before it is split. Qwen's texts are normalised to
/// NFC, as by its own tokenizer, which llama.cpp leaves out.
/// \throws std::runtime_error  one line, beginning with the file
/// Source: ggml-org/llama.cpp, src/llama-vocab.cpp, for the names and what belongs to them.
EncoderPointer parse_gguf_bpe(const GgufMetadata& metadata, const GgufVocabulary& vocabulary);

}  // namespace hessian::models
