#pragma once

#include "hessian/models/config.h"
#include "hessian/program.h"

namespace hessian::models {

/// Returns the rotation of queries and keys in a layer.
Rope rope_of(const GptConfig& config, int64_t layer);

/// Checks that the scaling of RoPE has the numbers that its type needs.
/// \throws std::runtime_error  naming the number, its value, and what it should be
void check_rope_scaling(const GptConfig& config);

}  // namespace hessian::models
