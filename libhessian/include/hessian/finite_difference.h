#pragma once

#include "hessian/hessian_operator.h"

namespace hessian {

/// Computes products H_s v_s by central differences of the gradient, (g(x + e v) - g(x - e v)) / 2e: a check of Hessian
/// products that needs first derivatives only. Meant for float64, in which its relative error is about 1e-7.
///
/// \param f  the functions
/// \param x  [S, ...], the point
/// \param v  [S, n], one direction per problem; n is the number of entries of a row of x
/// \return   [S, n]
/// \throws std::invalid_argument  if the shape of v differs
/// Cost: two gradients.
/// Source: Nocedal & Wright, Numerical Optimization, 2nd ed., section 8.1. The step is the cube root of the rounding unit times
/// ||x_s|| / ||v_s||; a norm of zero is replaced by 1.
at::Tensor central_difference_product(const ProblemFunction& f, const at::Tensor& x, const at::Tensor& v);

/// Returns ||a - b|| / max(||a||, ||b||) per problem, [S] float64 on the CPU: 0 if both are zero, NaN if either is not
/// finite.
at::Tensor relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace hessian
