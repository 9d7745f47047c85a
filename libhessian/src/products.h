#pragma once

#include <ATen/ATen.h>

namespace hessian {

// Products of activations [..., in] with a weight [out, in] for the tape, without autograd. For float32 on the CPU they
// are oneDNN's, which are faster than those of at::matmul on many processors.
//
// Where the weight is bfloat16 and the activations are wider, they are rounded to bfloat16 for the product alone, whose
// sums are taken in float32; the result is rounded to bfloat16 too, except on CUDA devices.

/// x W^T, [..., out]
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight);

/// y W, [..., in]
at::Tensor times(const at::Tensor& y, const at::Tensor& weight);

}  // namespace hessian
