#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Checks the operator and the options that all estimates from samples share.
/// \throws std::invalid_argument  if one is out of range
void check_sample_arguments(const LinearOperator& op, int64_t samples, const ProblemSeeds& seeds);

/// Multiplies vectors with the problems of an operator whose products have been finite so far.
class FiniteProducts {
 public:
  explicit FiniteProducts(const LinearOperator& op) : op_(op), finite_(all_problems(op.problems())) {}

  /// Multiplies every problem with one vector, [S, n]. Returns NaN for a problem whose product is not finite, now or
  /// earlier; after the first such product the problem takes no more.
  at::Tensor operator()(const at::Tensor& v);

 private:
  const LinearOperator& op_;
  ProblemIndices finite_;  ///< problems whose products have been finite
};

/// Draws the Rademacher vectors of a sample, [S, n]: the same for all estimates with one seed.
at::Tensor sample_signs(const LinearOperator& op, const ProblemSeeds& seeds, int64_t sample);

/// Returns inner products along the last dimension, in float64 on the CPU.
at::Tensor dots(const at::Tensor& a, const at::Tensor& b);

}  // namespace hessian
