#pragma once

#include <string>
#include <string_view>

#include "checkpoints/named_tensors.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// Layout of a linear map's weight in a GPT-2 checkpoint: nanoGPT as [out, in], Hugging Face's Conv1D as [in, out].
enum class LinearLayout { out_in, in_out };

/// Returns whether a tensor of a GPT-2 state dict is a buffer (the causal mask) rather than a weight.
bool is_gpt2_buffer(std::string_view key);

/// Returns the key of a tensor of Hugging Face's GPT-2: its name without "transformer."; empty for buffers.
std::string gpt2_key(const std::string& name);

/// Takes all weights of a GPT-2 under this project's names. Keys are without "transformer.": "wte.weight",
/// "h.0.ln_1.bias". c_attn is split into q, k and v; a tied lm_head is compared with the embedding and dropped. With
/// the layout out_in, the weights are tensors of the file or slices of them.
Parameters take_gpt2_weights(NamedTensors& tensors, const GptConfig& config, LinearLayout layout, WeightAccess access);

}  // namespace hessian::models
