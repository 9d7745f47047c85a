#pragma once

#include <cstdint>

#include "hessian/operator_algebra.h"

namespace hessian {

struct InverseOptions {
  /// lambda in (H + lambda I)^-1: what makes the matrix positive definite, as an indefinite or singular H needs.
  double damping = 0;
  /// Largest ||b - (H + lambda I) x|| / ||b|| of a solution.
  double tolerance = 1e-6;
  int64_t max_iterations = 1000;
};

/// (H_s + lambda I)^-1 of S symmetric operators, positive definite with the damping, by conjugate gradients: of a
/// Gauss-Newton or Fisher matrix what natural gradients and influence functions ask for.
///
/// All systems of a product are solved at once; one that is solved costs nothing more.
/// \throws std::invalid_argument  for options out of range
/// A product throws std::runtime_error  if a direction of no or negative curvature is met, so that the matrix is not
///                                      positive definite, or the tolerance is not reached
/// Cost: a product takes up to max_iterations products with H, about sqrt(condition number) times the logarithm of the
/// tolerance; memory: four vectors beside each.
/// Source: Hestenes & Stiefel (1952), Methods of conjugate gradients for solving linear systems; Koh & Liang (2017), arXiv
/// 1703.04730, for its use.
OperatorPtr inverse(OperatorPtr op, const InverseOptions& options = {});

}  // namespace hessian
