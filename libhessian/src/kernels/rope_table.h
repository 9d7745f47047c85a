#pragma once

#include <ATen/ATen.h>

namespace hessian {

/// Returns the cosines, then the sines, of the angles t * theta^(-2j / head_dim), [positions, 2, head_dim / 2].
///
/// \param options   device and precision of the result
/// \param internal  precision in which the angles are computed
at::Tensor rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options,
                      at::ScalarType internal = at::kDouble);

/// Returns the same table from a cache, because a training step needs it twice per layer. Shorter sequences use the
/// longest table made so far. Thread-safe.
at::Tensor cached_rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options);

}  // namespace hessian
