#pragma once

#include <string_view>

#include "checkpoints/named_tensors.h"
#include "hessian/models/model.h"
#include "hessian/parameters.h"

namespace hessian::models {

/// How a GPT-2 stores the weight of a linear map: nanoGPT as [out, in], Hugging Face's Conv1D as [in, out].
enum class LinearLayout { out_in, in_out };

/// Whether a tensor of a GPT-2 state dict is no weight but a buffer (the causal mask).
bool is_gpt2_buffer(std::string_view key);

/// Takes all weights of a GPT-2 under this project's names. Keys are without "transformer.": "wte.weight",
/// "h.0.ln_1.bias". c_attn is split into q, k and v; a tied lm_head is compared with the embedding and dropped. Of the
/// out_in layout, weights are the file's own tensors or parts of them.
hessian::Parameters take_gpt2_weights(NamedTensors& tensors, const GptConfig& config, LinearLayout layout,
                                      WeightAccess access);

}  // namespace hessian::models
