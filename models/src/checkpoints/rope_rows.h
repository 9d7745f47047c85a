#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "checkpoints/taken_weights.h"
#include "hessian/models/config.h"

namespace hessian::models {

/// Permutes the rows of a q or k projection [n_heads * head_dim, ...], or the entries of its bias or of a norm's gain: in each
/// head, the first `rotated_dim` rows go from half-split order (pair j is rows j and j + rotated_dim/2) to interleaved pairs
/// (2j, 2j+1). The others stay in place.
/// \param rotated_dim  0 for all rows of a head
/// \throws std::invalid_argument  if n_heads does not divide the rows into heads of which an even number can be rotated
at::Tensor interleave_rope_rows(const at::Tensor& weight, int64_t n_heads, int64_t rotated_dim = 0);

/// Adds a weight, bias or gain whose rows belong to queries or keys of a layer. Interleaves them if the layer has RoPE.
/// \param tensor   in half-split order, [rows, ...]
/// \param n_heads  number of heads in the rows
void add_rotated_rows(TakenWeights& weights, const std::string& name, const at::Tensor& tensor, int64_t n_heads,
                      const GptConfig& config, int64_t layer);

}  // namespace hessian::models
