#pragma once

#include "hessian/hessian_operator.h"

namespace hessian {

/// Products H_s v_s by central differences of the gradient, (g(x + e v) - g(x - e v)) / 2e: an oracle that needs only
/// first derivatives. Meant for float64, where it is good to about 1e-7.
///
/// \param f  the functions
/// \param x  [S, ...], the point
/// \param v  [S, n], one direction for each problem, n the number of entries of a row of x
/// \return   [S, n]
/// \throws std::invalid_argument  if the shapes do not fit
/// Cost: two gradients.
/// Source: Nocedal & Wright, Numerical Optimization, 2nd ed., section 8.1; the step is the cube root of the rounding
/// unit, times the root mean square of x, or 1 where x is zero, over that of v.
at::Tensor central_difference_product(const ProblemFunction& f, const at::Tensor& x, const at::Tensor& v);

/// ||a - b|| / max(||a||, ||b||) of each problem, [S] float64 on the CPU; 0 where both are zero,
/// NaN where either is not finite.
at::Tensor relative_difference(const at::Tensor& a, const at::Tensor& b);

}  // namespace hessian
