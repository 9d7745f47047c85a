#pragma once

#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// Reads a GGUF file of one of the architectures "llama" (Llama, Mistral, SmolLM), "qwen2", "qwen3" and "olmo2".
///
/// Weights of plain types are views of the mapped file in its precision. Quantised ones become float32: now, or with
/// WeightAccess::deferred each time they are fetched. Rows of q and k are interleaved in files of "llama", as here; in
/// the others they are half-split as in Hugging Face's, and are permuted. RoPE's scaling is read from the metadata or,
/// for Llama 3.1, from the tensor `rope_freqs.weight` with one divisor per frequency. A "llama" is of the family llama3
/// if its RoPE base is 500000 or more, of llama2 otherwise; the two families compute the same.
/// \throws std::runtime_error  one line, beginning with the path; settings that are not supported are named
/// Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, gguf-py/gguf/constants.py and src/llama-model.cpp.
Model load_gguf_model(const std::string& path, WeightAccess access);

}  // namespace hessian::models
