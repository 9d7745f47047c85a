#pragma once

#include <string>
#include <string_view>

#include "tokenizers/encoder.h"

namespace hessian::models {

/// The contents and the names of GPT-2's files.
struct VocabMergesFiles {
  std::string_view vocab;   ///< vocab.json: tokens and their ids
  std::string_view merges;  ///< merges.txt: a merge per line
  std::string_view added;   ///< added_tokens.json: further tokens and their ids; may be empty
  std::string vocab_source;
  std::string merges_source;
  std::string added_source;
};

/// Reads GPT-2's tokenizer. `<|endoftext|>` and what added_tokens.json lists are special tokens.
/// \throws std::runtime_error  one line, beginning with the file
/// Source: openai/gpt-2, src/encoder.py; the files' names are those of huggingface/transformers.
EncoderPointer parse_vocab_merges(const VocabMergesFiles& files);

}  // namespace hessian::models
