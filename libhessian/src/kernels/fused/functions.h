#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace hessian::fused {

// Primitives of program.h for training, as autograd functions: one pass forward, one backward, and no second derivative
// (differentiating the backward pass throws std::runtime_error). Shapes that do not match throw std::invalid_argument.
// The CPU and CUDA devices run the same passes over rows (rows/). Results do not depend on the number of threads. NaN
// and infinity in an input make every result that depends on it non-finite, except that a logit of minus infinity is a
// probability of zero.

/// Returns whether there are kernels for the device and precision of x: float32, float64 and bfloat16, on the CPU and, if
/// this build has CUDA sources, on CUDA devices.
bool has_kernels_for(const at::Tensor& x);

/// Computes RmsNorm.
/// \param gain  [width], in any precision
/// \return      in the precision of x
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

/// The operands of SimpleNorm, which replaces a linear map by rms_norm(x W^T).
struct SimpleNormOperand {
  at::Tensor x;       ///< [..., in]
  at::Tensor weight;  ///< [out, in]
  at::Tensor gain;    ///< [out], in any precision
  double eps = 0;
};

/// Computes SimpleNorm as one node of autograd. Under autocast, x and the weight are rounded for the product, and the
/// result has that precision.
/// Keeps x and W as the product reads them, y = x W^T and one number per row. The result is not kept: it follows from y,
/// whereas y does not follow from the result if a gain is zero.
at::Tensor simple_norm(const SimpleNormOperand& map);

/// Computes silu(SimpleNorm(gate)) * SimpleNorm(up) as one node of autograd. One pass, forward and backward, covers both
/// norms and the gate; the results of the norms are neither written nor kept.
at::Tensor simple_norm_gate(const SimpleNormOperand& gate, const SimpleNormOperand& up);

/// Returns x in the precision that autocast prescribes for matrix products on its device; x itself if autocast is off.
at::Tensor for_products(const at::Tensor& x);

/// Computes SiluGate.
/// \param gate, up  of the same shape and precision
at::Tensor silu_gate(const at::Tensor& gate, const at::Tensor& up);

/// Computes GeluGate.
/// \param gate, up  of the same shape and precision
at::Tensor gelu_gate(const at::Tensor& gate, const at::Tensor& up, bool tanh_approximation);

/// Computes Rope.
/// \param x      [S, T, heads * head_dim]
/// \param table  cosines and sines, [T, 2, head_dim / 2], in at least float32: see program/rope_table.h
at::Tensor rope(const at::Tensor& x, const at::Tensor& table);

/// Computes the mean over T of -log softmax(logits) at the targets.
/// \param logits   [S, T, classes]
/// \param targets  [S, T], int64
/// \return         [S], in float32 for bfloat16 logits
/// \throws std::out_of_range  if a target is not a class; on a CUDA device, its loss and gradient are NaN instead
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace hessian::fused
