#pragma once

#include <vector>

#include "hessian/models/named_models.h"

// The tables of named sizes, one function per source of published shapes. Each returns its sizes in the order of messages,
// with the placement of the family.

namespace hessian::models {

/// Returns the sizes of llama2 and llama3: those of the official SimpleGPT code, and the two small ones of Llama 3.2.
std::vector<NamedSize> llama_sizes();

/// Returns the sizes of gpt2: nanoGPT's character model, and those of GPT-2 as nanoGPT trains them.
std::vector<NamedSize> gpt2_sizes();

/// Returns the sizes of pythia.
std::vector<NamedSize> pythia_sizes();

/// Returns the sizes of gemma2 and gemma3.
std::vector<NamedSize> gemma_sizes();

/// Returns the sizes of mistral, qwen2, qwen3, olmo2, phi3 and smollm3.
std::vector<NamedSize> other_sizes();

}  // namespace hessian::models
