#pragma once

#include <ATen/ATen.h>

#include <cstdint>

namespace hessian::fused {

// Primitives of program.h for training: one pass forward, one backward, and no second derivative: a backward that is
// itself to be differentiated throws std::runtime_error. Shapes that do not fit throw std::invalid_argument. The same
// passes over rows (rows/) serve the CPU and CUDA devices. Results do not depend on the number of threads. NaN and
// infinity in an input leave no finite result behind, but for a logit of minus infinity, which is a probability of
// zero.

/// Whether there are kernels for the device and precision of x: float32, float64 and bfloat16, on the CPU and on CUDA
/// devices that this build has kernels for.
bool has_kernels_for(const at::Tensor& x);

/// \param gain  [width], in any precision
/// \return      in the precision of x
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps);

/// What SimpleNorm puts in place of a linear map: rms_norm(x W^T).
struct SimpleNormOperand {
  at::Tensor x;       ///< [..., in]
  at::Tensor weight;  ///< [out, in]
  at::Tensor gain;    ///< [out], in any precision
  double eps = 0;
};

/// It as one step of autograd. Where autocast is on for the device, x and the weight are rounded for the products, and
/// the result has that precision.
/// It keeps x and W as the products read them, y = x W^T and one number a row. The result is not kept: it can be had
/// from y, while y cannot be had from it where a gain is zero. Whatever reads the result keeps it if it needs it.
at::Tensor simple_norm(const SimpleNormOperand& map);

/// silu(gate) * up of two of them, as one step of autograd: between the products and the result is one pass, forward
/// and back, and neither norm's result is written or kept.
at::Tensor simple_norm_gate(const SimpleNormOperand& gate, const SimpleNormOperand& up);

/// x in the precision that autocast asks of matrix products on its device; x itself where autocast is off.
at::Tensor for_products(const at::Tensor& x);

/// \param gate, up  of the same shape and precision
at::Tensor silu_gate(const at::Tensor& gate, const at::Tensor& up);

/// \param x  [S, T, heads * head_dim]
at::Tensor rope(const at::Tensor& x, int64_t head_dim, double theta);

/// Mean over T of -log softmax(logits) at the targets.
/// \param logits   [S, T, classes]
/// \param targets  [S, T], int64
/// \return         [S], in float32 for bfloat16 logits
/// \throws std::out_of_range  for a target that is no class; on a CUDA device its loss and gradient are NaN instead
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets);

}  // namespace hessian::fused
