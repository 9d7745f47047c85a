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

// The same with k weights [k, out, in], one for each of k vectors, each one product of matrices for all vectors; and the
// products that give k such weights, which are BLAS's, one for each vector: it reads a factor turned without a copy, and
// adds to what is there. All factors have one precision.

/// x W_j^T of x [S, T, in], [S, k, T, out]
at::Tensor times_each_transposed(const at::Tensor& x, const at::Tensor& weights);

/// y W_j of y [S, T, out], [S, k, T, in]
at::Tensor times_each(const at::Tensor& y, const at::Tensor& weights);

/// Sums over S and T of y_j^T x, of y [S, k, T, out] and x [S, T, in], [k, out, in]
at::Tensor summed_products(const at::Tensor& y, const at::Tensor& x);

/// Adds the same sums of y^T x_j, of y [S, T, out] and x [S, k, T, in], to [k, out, in].
void add_summed_products_with_each(const at::Tensor& sums, const at::Tensor& y, const at::Tensor& x);

}  // namespace hessian
