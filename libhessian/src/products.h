#pragma once

#include <ATen/ATen.h>

namespace hessian {

// Products of activations [..., in] with a weight [out, in], without autograd. For float32 on the CPU they
// are oneDNN's, which are faster than those of at::matmul on many processors.
//
// Where the weight is bfloat16 and the activations are wider, they are rounded to bfloat16 for the product alone, whose
// sums are taken in float32; the result is rounded to bfloat16 too, except on CUDA devices.

/// x W^T, [..., out]
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight);

/// y W, [..., in]
at::Tensor times(const at::Tensor& y, const at::Tensor& weight);

/// dy^T x of matrices [rows, out] and [rows, in], the gradient of a weight, in `dtype`. Sums of products of bfloat16
/// reach float32 without being rounded in between on CUDA devices.
at::Tensor gradient_of_weight(const at::Tensor& dy, const at::Tensor& x, at::ScalarType dtype);

}  // namespace hessian
