#pragma once

#include "checkpoints/huggingface_settings.h"
#include "hessian/models/config.h"

namespace hessian::models {

// One function per architecture. Each returns the configuration that a config.json describes, with the defaults of transformers
// for absent keys; the sizes hidden_size, num_hidden_layers, num_attention_heads, intermediate_size and vocab_size are required.
// Source: huggingface/transformers, models/*/configuration_*.py and modeling_*.py.

GptConfig read_gpt2(const HuggingFaceSettings& settings);
/// The family is llama3 if the RoPE base is 500000 or more, llama2 otherwise; the two compute the same.
GptConfig read_llama(const HuggingFaceSettings& settings);
GptConfig read_mistral(const HuggingFaceSettings& settings);
GptConfig read_qwen2(const HuggingFaceSettings& settings);
GptConfig read_qwen3(const HuggingFaceSettings& settings);
GptConfig read_olmo2(const HuggingFaceSettings& settings);
GptConfig read_gpt_neox(const HuggingFaceSettings& settings);
GptConfig read_gemma2(const HuggingFaceSettings& settings);
GptConfig read_gemma3(const HuggingFaceSettings& settings);
GptConfig read_phi3(const HuggingFaceSettings& settings);
GptConfig read_smollm3(const HuggingFaceSettings& settings);

}  // namespace hessian::models
