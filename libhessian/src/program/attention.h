#pragma once

#include <ATen/ATen.h>

#include <cstdint>

#include "hessian/program.h"

namespace hessian {

/// Returns the factor of the scores of heads with head_dim entries.
double score_scale(const CausalAttention& attention, int64_t head_dim);

/// Returns which keys each query does not see, [T, T] in rows of queries: later ones and those before its window.
/// \param options  device of the result
at::Tensor hidden_keys(const CausalAttention& attention, int64_t positions, const at::TensorOptions& options);

}  // namespace hessian
