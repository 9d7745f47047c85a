#pragma once

#include <ATen/ATen.h>

namespace hessian {

// Products of activations [..., in] with a weight [out, in], without autograd. For float32 on the CPU they use oneDNN,
// which is faster than at::matmul on many processors.
//
// If the weight is bfloat16 and the activations are wider, the activations are rounded to bfloat16 for the product only.
// Its sums are taken in float32; the result is rounded to bfloat16 as well, except on CUDA devices.

/// Returns x W^T, [..., out].
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight);

/// Returns y W, [..., in].
at::Tensor times(const at::Tensor& y, const at::Tensor& weight);

/// Returns dy^T x of matrices [rows, out] and [rows, in], the gradient of a weight, in `dtype`. On CUDA devices, bfloat16
/// operands give a float32 result without rounding to bfloat16 in between.
at::Tensor gradient_of_weight(const at::Tensor& dy, const at::Tensor& x, at::ScalarType dtype);

// Products with k weights [k, out, in], one for each of k vectors. Functions that read such weights compute one matrix
// product for all vectors. Functions that return such weights compute one BLAS product per vector: BLAS reads a
// transposed factor without a copy, and can add to the result. All factors have the same precision.

/// Returns x W_j^T for x [S, T, in], [S, k, T, out].
at::Tensor times_each_transposed(const at::Tensor& x, const at::Tensor& weights);

/// Returns y W_j for y [S, T, out], [S, k, T, in].
at::Tensor times_each(const at::Tensor& y, const at::Tensor& weights);

/// Returns the sums over S and T of y_j^T x for y [S, k, T, out] and x [S, T, in], [k, out, in].
at::Tensor summed_products(const at::Tensor& y, const at::Tensor& x);

/// Adds to `sums`, [k, out, in], the sums over S and T of y^T x_j for y [S, T, out] and x [S, k, T, in].
void add_summed_products_with_each(const at::Tensor& sums, const at::Tensor& y, const at::Tensor& x);

}  // namespace hessian
