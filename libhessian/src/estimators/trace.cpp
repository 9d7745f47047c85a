#include "hessian/trace.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "estimators/probes.h"
#include "linalg/orthogonalise.h"

namespace hessian {
namespace {

/// Orthonormal rows that span the products with `count` normal vectors, [S, count, n], which unlike signs are never
/// multiples of each other in few dimensions. A product that adds nothing to those before it leaves a row of zeros.
at::Tensor sketched_range(const LinearOperator& op, const BlockSeeds& seeds, int64_t count) {
  at::Tensor range = at::zeros({op.blocks(), count, op.dim()}, op.vector_options());
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor product = finite_products(op, random_unit_vectors(op, seeds, static_cast<uint64_t>(i)));
    const at::Tensor rest = orthogonalise(range.narrow(1, 0, i), product.unsqueeze(1)).rest.squeeze(1);
    const at::Tensor norm = rest.norm(2, 1, true);
    const at::Tensor adds = norm > rounding_level(rest.options()) * product.norm(2, 1, true);
    range.select(1, i).copy_(at::where(adds, rest / norm, at::zeros_like(rest)));
  }
  return range;
}

}  // namespace

TraceEstimate hutchinson_trace(const LinearOperator& op, const ProbeOptions& options) {
  check_probe_arguments(op, options);
  const c10::NoGradGuard no_grad;
  return {mean_of_samples(probe_samples(op, options).quadratic), options.probes};
}

TraceEstimate hutch_plus_plus_trace(const LinearOperator& op, const HutchPlusPlusOptions& options) {
  check_blocks(op, options, "an estimate");
  if (options.products < 6) {
    throw std::invalid_argument("the number of products is " + std::to_string(options.products) +
                                "; it must be 6 at least");
  }
  const c10::NoGradGuard no_grad;
  const int64_t probes = options.products / 3;
  const int64_t columns = std::min(probes, op.dim());
  const at::Tensor range = sketched_range(op, options, columns);
  at::Tensor exact_part = at::zeros({op.blocks()}, at::kDouble);
  for (int64_t i = 0; i < columns; ++i) {
    const at::Tensor q = range.select(1, i).contiguous();
    exact_part += dots(q, finite_products(op, q));
  }
  at::Tensor samples = at::empty({op.blocks(), probes}, at::kDouble);
  for (int64_t probe = 0; probe < probes; ++probe) {
    const at::Tensor signs = probe_signs(op, options, columns + probe);
    const at::Tensor rest = orthogonalise(range, signs.unsqueeze(1)).rest.squeeze(1);
    samples.select(1, probe).copy_(dots(rest, finite_products(op, rest)));
  }
  const Estimate remainder = mean_of_samples(samples);
  return {{exact_part + remainder.value, remainder.standard_error}, 2 * columns + probes};
}

}  // namespace hessian
