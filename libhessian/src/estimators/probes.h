#pragma once

#include "hessian/estimate.h"

namespace hessian {

/// Products of every block with one vector each, [S, n].
/// \throws std::runtime_error  if one is not finite
at::Tensor finite_products(const LinearOperator& op, const at::Tensor& v);

/// Rademacher vectors of a probe, [S, n], the same for all estimates that share a seed.
at::Tensor probe_signs(const LinearOperator& op, const BlockSeeds& seeds, int64_t probe);

/// Sums of products along the last dimension, in float64 on the CPU.
at::Tensor dots(const at::Tensor& a, const at::Tensor& b);

/// What each Rademacher vector z says of a block, [S, P] float64.
struct ProbeSamples {
  at::Tensor quadratic;     ///< z^T H z, of mean tr H
  at::Tensor squared_norm;  ///< ||H z||^2, of mean tr H^2
};

ProbeSamples probe_samples(const LinearOperator& op, const ProbeOptions& options);

}  // namespace hessian
