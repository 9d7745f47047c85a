#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Products of every problem with one vector each, [S, n].
/// \throws std::runtime_error  if one is not finite
at::Tensor finite_products(const LinearOperator& op, const at::Tensor& v);

/// Rademacher vectors of a sample, [S, n], the same for all estimates that share a seed.
at::Tensor sample_signs(const LinearOperator& op, const ProblemSeeds& seeds, int64_t sample);

/// Sums of products along the last dimension, in float64 on the CPU.
at::Tensor dots(const at::Tensor& a, const at::Tensor& b);

/// What each Rademacher vector z says of a problem, [S, P] float64.
struct Samples {
  at::Tensor quadratic;     ///< z^T H z, of mean tr H
  at::Tensor squared_norm;  ///< ||H z||^2, of mean tr H^2
};

Samples sample_products(const LinearOperator& op, const SampleOptions& options);

}  // namespace hessian
