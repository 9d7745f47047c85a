#pragma once

#include <ATen/ATen.h>

namespace hessian {

/// Cosines, then sines, of the angles t * theta^(-2j / head_dim), [positions, 2, head_dim / 2].
///
/// \param options   device and precision of the result
/// \param internal  precision that the angles are computed in
at::Tensor rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options,
                      at::ScalarType internal = at::kDouble);

/// The same from a cache, for a training step asks twice a layer. The longest table so far serves all shorter ones.
at::Tensor cached_rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options);

}  // namespace hessian
