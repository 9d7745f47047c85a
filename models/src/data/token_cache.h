#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "hessian/models/tokenizer.h"

namespace hessian::models {

/// Returns the ids of the text files that a source names, [N] int32, with the tokenizer's end-of-text token between
/// documents.
///
/// The ids of each file are stored next to it, in NAME.tokens-DIGEST.safetensors (DIGEST identifies the tokenizer), and
/// read from there if text and tokenizer are still the same. If the folder cannot be written to, nothing is stored.
/// \throws std::runtime_error  one line, beginning with the file
at::Tensor encode_text_files(const std::string& source, const Tokenizer& tokenizer);

}  // namespace hessian::models
