#pragma once

#include <ATen/ATen.h>

#include "hessian/program.h"

namespace hessian {

/// Returns what a Rope multiplies the pairs of a head by: the cosines, then the sines, of its angles, times its scale,
/// [positions, 2, head_dim / 2]. Pairs that are not rotated have cosine 1 and sine 0.
///
/// \param positions  length of the sequences, on which the angles of some ropes depend
/// \param options    device and precision of the result
/// \param internal   precision in which the angles are computed
/// \throws std::invalid_argument  if the sizes of the rope do not fit together
at::Tensor rope_table(const Rope& rope, int64_t positions, const at::TensorOptions& options,
                      at::ScalarType internal = at::kDouble);

/// Returns the same table from a cache, because a training step needs it twice per layer. Shorter sequences use the
/// longest table made so far. Thread-safe.
at::Tensor cached_rope_table(const Rope& rope, int64_t positions, const at::TensorOptions& options);

}  // namespace hessian
