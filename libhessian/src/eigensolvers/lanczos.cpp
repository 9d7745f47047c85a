#include "hessian/lanczos.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "eigensolvers/extremal_pairs.h"
#include "eigensolvers/krylov_driver.h"

namespace hessian {
namespace {

/// Converts pairs of both ends, upper first.
ExtremalEigenvalues both_ends(const TopEigenpairs& pairs) {
  return {pairs.values.select(1, 0).contiguous(),
          pairs.values.select(1, 1).contiguous(),
          pairs.residuals.select(1, 0).contiguous(),
          pairs.residuals.select(1, 1).contiguous(),
          pairs.vectors.select(1, 0).contiguous(),
          pairs.vectors.select(1, 1).contiguous(),
          pairs.iterations,
          pairs.converged.all(1),
          pairs.upper_bound,
          pairs.lower_bound,
          pairs.asymmetry};
}

/// Converts single pairs; of the two ends, the one that was not requested is NaN and its vector zero.
ExtremalEigenvalues one_end(const TopEigenpairs& pairs, Ends ends) {
  const at::Tensor value = pairs.values.select(1, 0);
  const at::Tensor residual = pairs.residuals.select(1, 0);
  const at::Tensor vector = pairs.vectors.select(1, 0);
  // A dominant eigenvalue is the largest one if it is positive, and the smallest one if it is negative.
  const at::Tensor is_lower = ends == Ends::dominant ? value < 0 : at::full_like(value, ends == Ends::lower, at::kBool);
  const at::Tensor is_upper = is_lower.logical_not();
  const at::Tensor vector_is_lower = is_lower.unsqueeze(1).to(vector.device());
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  return {value.masked_fill(is_lower, unknown),
          value.masked_fill(is_upper, unknown),
          residual.masked_fill(is_lower, unknown),
          residual.masked_fill(is_upper, unknown),
          vector.masked_fill(vector_is_lower, 0),
          vector.masked_fill(vector_is_lower.logical_not(), 0),
          pairs.iterations,
          pairs.converged.select(1, 0),
          pairs.upper_bound,
          pairs.lower_bound,
          pairs.asymmetry};
}

}  // namespace

ExtremalEigenvalues lanczos(const LinearOperator& op, const LanczosOptions& options) {
  check_eigensolver_arguments(op, options.tolerance, options.max_iterations, options.seeds());
  if (options.max_basis < std::min<int64_t>(8, op.dim())) {
    throw std::invalid_argument("the basis has " + std::to_string(options.max_basis) +
                                " vectors; it must have at least 8");
  }
  if (options.verified_at_once < 1) {
    throw std::invalid_argument("the number of vectors verified at once is " +
                                std::to_string(options.verified_at_once) + "; it must be positive");
  }
  KrylovPlan plan;
  plan.ends = options.ends;
  plan.tolerance = options.tolerance;
  plan.max_iterations = options.max_iterations;
  plan.max_basis = std::min({options.max_basis, op.dim(), options.max_iterations});
  // Keeps Ritz pairs of both ends, whichever is requested: the spectral norm, to which the tolerance is relative, needs
  // them.
  plan.kept_ends = Ends::both;
  plan.kept = plan.max_basis / 4;
  plan.verified_at_once = options.verified_at_once;
  plan.min_products = 8;
  plan.stop_when_invariant = true;
  plan.certificate = certificate_plan(op, options.certificate);
  plan.seeds = options.seeds();
  const TopEigenpairs pairs = krylov_eigenpairs(op, plan);
  return options.ends == Ends::both ? both_ends(pairs) : one_end(pairs, options.ends);
}

}  // namespace hessian
