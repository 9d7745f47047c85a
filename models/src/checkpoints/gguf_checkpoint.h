#pragma once

#include <string>

#include "hessian/models/model.h"

namespace hessian::models {

/// Reads a GGUF file of the architecture "llama", which Llama, Mistral and SmolLM models have.
///
/// Weights of plain types are views of the mapped file in its precision. Quantised ones become float32: now, or with
/// WeightAccess::deferred each time they are fetched. llama.cpp stores the rows of q and k in interleaved order, as this
/// project does. RoPE's scaling is read from the metadata or, for Llama 3.1, from the tensor `rope_freqs.weight` with one
/// divisor per frequency. The family is llama3 if the RoPE base is 500000 or more, llama2 otherwise; the two families
/// compute the same.
/// \throws std::runtime_error  one line, beginning with the path; settings that are not supported are named
/// Source: ggml-org/ggml, docs/gguf.md; ggml-org/llama.cpp, gguf-py/gguf/constants.py and src/llama-model.cpp.
Model load_gguf_model(const std::string& path, WeightAccess access);

}  // namespace hessian::models
