#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Checks the operator and the options that all estimates from samples share.
/// \throws std::invalid_argument  if one is out of range
void check_sample_arguments(const LinearOperator& op, int64_t samples, const ProblemSeeds& seeds);

/// Multiplies every problem with one vector, [S, n].
/// \throws std::runtime_error  if a product is not finite
at::Tensor finite_products(const LinearOperator& op, const at::Tensor& v);

/// Draws the Rademacher vectors of a sample, [S, n]: the same for all estimates with one seed.
at::Tensor sample_signs(const LinearOperator& op, const ProblemSeeds& seeds, int64_t sample);

/// Returns inner products along the last dimension, in float64 on the CPU.
at::Tensor dots(const at::Tensor& a, const at::Tensor& b);

/// Quadratic forms of Rademacher vectors z, [S, P] float64.
struct Samples {
  at::Tensor quadratic;     ///< z^T H z, with mean tr H
  at::Tensor squared_norm;  ///< ||H z||^2, with mean tr H^2
};

/// Computes both forms with one product per sample.
Samples sample_products(const LinearOperator& op, const SampleOptions& options);

}  // namespace hessian
