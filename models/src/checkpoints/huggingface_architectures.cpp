#include "checkpoints/huggingface_architectures.h"

#include <array>

#include "checkpoints/gpt2_weights.h"
#include "checkpoints/huggingface_families.h"
#include "checkpoints/llama_weights.h"
#include "checkpoints/neox_weights.h"
#include "checkpoints/phi3_weights.h"

namespace hessian::models {
namespace {

Parameters take_conv1d_weights(NamedTensors& tensors, const GptConfig& config, WeightAccess access) {
  return take_gpt2_weights(tensors, config, LinearLayout::in_out, access);
}

}  // namespace

std::span<const HuggingFaceArchitecture> huggingface_architectures() {
  static const std::array<HuggingFaceArchitecture, 11> architectures = {
      {{"LlamaForCausalLM", "llama", read_llama, llama_key, take_llama_weights},
       {"MistralForCausalLM", "mistral", read_mistral, llama_key, take_llama_weights},
       {"Qwen2ForCausalLM", "qwen2", read_qwen2, llama_key, take_llama_weights},
       {"Qwen3ForCausalLM", "qwen3", read_qwen3, llama_key, take_llama_weights},
       {"Olmo2ForCausalLM", "olmo2", read_olmo2, llama_key, take_llama_weights},
       {"GPTNeoXForCausalLM", "gpt_neox", read_gpt_neox, neox_key, take_neox_weights},
       {"Gemma2ForCausalLM", "gemma2", read_gemma2, llama_key, take_llama_weights},
       {"Gemma3ForCausalLM", "gemma3_text", read_gemma3, llama_key, take_llama_weights},
       {"Phi3ForCausalLM", "phi3", read_phi3, llama_key, take_phi3_weights},
       {"SmolLM3ForCausalLM", "smollm3", read_smollm3, llama_key, take_llama_weights},
       {"GPT2LMHeadModel", "gpt2", read_gpt2, gpt2_key, take_conv1d_weights}}};
  return architectures;
}

}  // namespace hessian::models
