#pragma once

#include <cstdint>

#include "hessian/operator_algebra.h"

namespace hessian {

struct InverseOptions {
  /// lambda in (H + lambda I)^-1. An indefinite or singular H needs a damping that makes H + lambda I positive definite.
  double damping = 0;
  /// Largest relative residual ||b - (H + lambda I) x|| / ||b|| of a solution, measured with a separate product.
  double tolerance = 1e-6;
  int64_t max_iterations = 1000;
};

/// Returns (H_s + lambda I)^-1 of S symmetric operators as an operator that solves by conjugate gradients. H + lambda I must
/// be positive definite. With a Gauss-Newton or Fisher matrix it serves natural gradients and influence functions.
///
/// All systems of a product are solved together. A solved system keeps its solution; every iteration still multiplies all
/// vectors. If the recurrence's residual has drifted away from the true one, the iteration starts again from the solution.
/// \throws std::invalid_argument  for options out of range
/// A product throws std::invalid_argument  if a right-hand side is not finite
/// A product throws std::runtime_error     if it meets a direction of zero or negative curvature (the matrix is not positive
///                                         definite), or does not reach the tolerance, or a product is not finite
/// Cost: per product, about sqrt(condition number) * log(1 / tolerance) products with H, at most max_iterations, and one per
/// check of the residual; memory: five vectors per right-hand side.
/// Source: Hestenes & Stiefel (1952), Methods of conjugate gradients for solving linear systems; Koh & Liang (2017), arXiv
/// 1703.04730, for its use.
OperatorPtr inverse(OperatorPtr op, const InverseOptions& options = {});

}  // namespace hessian
