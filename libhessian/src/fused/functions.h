#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace hessian::fused {

// Primitives of program.h for training on the CPU: one pass forward, one backward, and no second derivative: a backward
// that is itself to be differentiated throws std::runtime_error. Shapes that do not fit throw std::invalid_argument.

/// Whether there are kernels for the device and precision of x: float32, float64 and bfloat16 on the CPU.
bool has_kernels_for(const at::Tensor& x);

/// \param gain  [width], in any precision
/// \return      in the precision of x
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

/// \param gate, up  of the same shape and precision
at::Tensor silu_gate(const at::Tensor& gate, const at::Tensor& up);

/// \param x  [S, T, heads * head_dim]
at::Tensor rope(const at::Tensor& x, int64_t head_dim, double theta);

/// Mean over T of -log softmax(logits) at the targets.
/// \param logits   [S, T, classes]
/// \param targets  [S, T], int64
/// \return         [S], in float32 for bfloat16 logits
/// \throws std::out_of_range  for a target that is no class
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace hessian::fused
