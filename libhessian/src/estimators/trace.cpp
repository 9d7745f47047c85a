#include "hessian/trace.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>
#include <string>

#include "estimators/samples.h"
#include "linalg/orthogonalise.h"

namespace hessian {
namespace {

/// Returns orthonormal rows that span the products with `count` normal vectors, [S, count, n]. Normal vectors, unlike random
/// signs, are never multiples of each other in few dimensions. A product that lies in the span of those before it gives a row
/// of zeros.
at::Tensor sketched_range(const LinearOperator& op, const ProblemSeeds& seeds, int64_t count,
                          FiniteProducts& products) {
  at::Tensor range = at::zeros({op.problems(), count, op.dim()}, op.vector_options());
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor product = products(random_unit_vectors(op, seeds, static_cast<uint64_t>(i)));
    const at::Tensor remainder = orthogonalise(range.narrow(1, 0, i), product.unsqueeze(1)).remainder.squeeze(1);
    const at::Tensor norm = remainder.norm(2, 1, true);
    const at::Tensor adds = norm > rounding_level(remainder.options()) * product.norm(2, 1, true);
    range.select(1, i).copy_(at::where(adds, remainder / norm, at::zeros_like(remainder)));
  }
  return range;
}

}  // namespace

TraceEstimate hutchinson_trace(const LinearOperator& op, const SampleOptions& options) {
  return hutchinson_trace(hutchinson_samples(op, options));
}

TraceEstimate hutchinson_trace(const HutchinsonSamples& samples) {
  return {mean_of_samples(samples.quadratic), samples.quadratic.size(1)};
}

TraceEstimate hutch_plus_plus_trace(const LinearOperator& op, const HutchPlusPlusOptions& options) {
  check_problems(op, options.seeds(), "an estimate");
  if (options.products < 6) {
    throw std::invalid_argument("the number of products is " + std::to_string(options.products) +
                                "; it must be at least 6");
  }
  const c10::NoGradGuard no_grad;
  const int64_t samples = options.products / 3;
  const int64_t columns = std::min(samples, op.dim());
  FiniteProducts products(op);
  const at::Tensor range = sketched_range(op, options.seeds(), columns, products);
  at::Tensor exact_term = at::zeros({op.problems()}, at::kDouble);
  for (int64_t i = 0; i < columns; ++i) {
    const at::Tensor q = range.select(1, i).contiguous();
    exact_term += dots(q, products(q));
  }
  at::Tensor remainders = at::empty({op.problems(), samples}, at::kDouble);
  for (int64_t sample = 0; sample < samples; ++sample) {
    const at::Tensor signs = sample_signs(op, options.seeds(), columns + sample);
    const at::Tensor outside = orthogonalise(range, signs.unsqueeze(1)).remainder.squeeze(1);
    remainders.select(1, sample).copy_(dots(outside, products(outside)));
  }
  const Estimate remainder = mean_of_samples(remainders);
  return {{exact_term + remainder.value, remainder.standard_error}, 2 * columns + samples};
}

}  // namespace hessian
