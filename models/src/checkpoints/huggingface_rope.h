#pragma once

#include "checkpoints/huggingface_settings.h"
#include "hessian/models/config.h"

namespace hessian::models {

/// How a family's configuration describes RoPE.
struct HuggingFaceRope {
  double theta = 10000.0;  ///< base if none is given
  bool partial = false;    ///< supports rotating only a share of each head
  double share = 1.0;      ///< rotated share of each head if none is given
  const char* theta_key = "rope_theta";
  const char* share_key = "partial_rotary_factor";
  bool longrope_only = false;        ///< no scaling but "longrope", also called "su" and "yarn" (Phi-3)
  int64_t original_max_seq_len = 0;  ///< if `original_max_position_embeddings` is absent; 0 for max_seq_len
};

/// Reads base, rotated share and scaling of RoPE into rope_theta, rotated_dim and rope_scaling. Accepts both spellings: one
/// object `rope_parameters` (transformers 5), or `rope_theta`, `partial_rotary_factor` and an object `rope_scaling`. Values in
/// the object precede those outside.
///
/// Precondition: head_dim and max_seq_len are set.
/// \throws std::runtime_error  one line that names the file and the key
/// Source: huggingface/transformers, modeling_rope_utils.py.
void read_rope(const HuggingFaceSettings& settings, const HuggingFaceRope& form, GptConfig& config);

/// Reads the RoPE of Gemma 3, which differs between layers with and without a window: `rope_parameters` with the objects
/// `full_attention` and `sliding_attention`, or `rope_theta`, `rope_scaling` and `rope_local_base_freq`.
void read_gemma3_rope(const HuggingFaceSettings& settings, GptConfig& config);

}  // namespace hessian::models
