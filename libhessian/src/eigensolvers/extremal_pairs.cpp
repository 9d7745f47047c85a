#include "eigensolvers/extremal_pairs.h"

#include <limits>
#include <stdexcept>
#include <string>

namespace hessian {

ExtremalEigenvalues unknown_ends(const LinearOperator& op) {
  const int64_t problems = op.problems();
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  ExtremalEigenvalues ends;
  for (at::Tensor* const numbers : {&ends.lambda_max, &ends.lambda_min, &ends.residual_max, &ends.residual_min,
                                    &ends.lambda_max_upper, &ends.lambda_min_lower, &ends.asymmetry}) {
    *numbers = at::full({problems}, unknown, at::kDouble);
  }
  ends.vector_max = at::zeros({problems, op.dim()}, op.vector_options());
  ends.vector_min = at::zeros({problems, op.dim()}, op.vector_options());
  ends.iterations = at::zeros({problems}, at::kInt);
  ends.converged = at::zeros({problems}, at::kBool);
  return ends;
}

void verify_residuals(const LinearOperator& op, Ends ends, double tolerance, const at::Tensor& norm,
                      ExtremalEigenvalues& result) {
  const auto residual_of = [&op](const at::Tensor& vectors, const at::Tensor& values) {
    return residual_norms(op, vectors.unsqueeze(1), values.unsqueeze(1)).squeeze(1);
  };
  if (ends == Ends::both) {
    result.residual_max = residual_of(result.vector_max, result.lambda_max);
    result.residual_min = residual_of(result.vector_min, result.lambda_min);
  } else {
    // One product for all problems, with the vector of the dominant or requested end of each.
    const at::Tensor is_lower = ends == Ends::dominant
                                    ? at::logical_not(result.lambda_max.abs() >= result.lambda_min.abs())
                                          .logical_and(result.lambda_min.isnan().logical_not())
                                    : at::full({op.problems()}, ends == Ends::lower, at::kBool);
    const at::Tensor lower_vectors = is_lower.unsqueeze(1).to(result.vector_max.device());
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    const at::Tensor residual = residual_of(at::where(lower_vectors, result.vector_min, result.vector_max),
                                            at::where(is_lower, result.lambda_min, result.lambda_max));
    const at::Tensor is_upper = is_lower.logical_not();
    result.residual_max = residual.masked_fill(is_lower, unknown);
    result.residual_min = residual.masked_fill(is_upper, unknown);
    result.lambda_max = result.lambda_max.masked_fill(is_lower, unknown);
    result.lambda_min = result.lambda_min.masked_fill(is_upper, unknown);
    result.vector_max = result.vector_max.masked_fill(lower_vectors, 0);
    result.vector_min = result.vector_min.masked_fill(lower_vectors.logical_not(), 0);
  }
  const at::Tensor limit = norm * tolerance;
  // Comparisons with NaN are false, so that residuals that are not finite never count as converged.
  result.converged = ends == Ends::both ? (result.residual_max <= limit).logical_and(result.residual_min <= limit)
                                        : result.residual_norm() <= limit;
}

void check_eigensolver_arguments(const LinearOperator& op, double tolerance, int64_t max_iterations,
                                 const ProblemSeeds& seeds) {
  check_problems(op, seeds, "an eigensolver");
  if (!(tolerance > 0)) {
    throw std::invalid_argument("the tolerance is " + std::to_string(tolerance) + "; it must be positive");
  }
  if (max_iterations < 1) {
    throw std::invalid_argument("the iteration limit is " + std::to_string(max_iterations) + "; it must be positive");
  }
}

}  // namespace hessian
