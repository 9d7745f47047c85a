#include "hessian/eigenvalues.h"

#include <limits>
#include <stdexcept>
#include <string>

namespace hessian {

at::Tensor ExtremalEigenvalues::spectral_norm() const {
  return at::fmax(lambda_max.abs(), lambda_min.abs());
}

at::Tensor ExtremalEigenvalues::residual_norm() const {
  return at::fmax(residual_max, residual_min);
}

at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values) {
  // One vector at a time, and float64 for one problem at a time: an operator of large problems was given room for no more.
  at::Tensor residuals = at::empty(values.sizes(), at::kDouble);
  for (int64_t i = 0; i < vectors.size(1); ++i) {
    const at::Tensor products = op.apply(vectors.narrow(1, i, 1));
    for (int64_t problem = 0; problem < vectors.size(0); ++problem) {
      const at::Tensor expected = vectors[problem][i].to(at::kDouble) * values[problem][i].item<double>();
      residuals[problem][i] = (products[problem][0].to(at::kDouble) - expected).norm().item<double>();
    }
  }
  return residuals;
}

ExtremalEigenvalues unknown_ends(const LinearOperator& op) {
  const int64_t problems = op.problems();
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  ExtremalEigenvalues ends;
  for (at::Tensor* const numbers : {&ends.lambda_max, &ends.lambda_min, &ends.residual_max, &ends.residual_min}) {
    *numbers = at::full({problems}, unknown, at::kDouble);
  }
  ends.vector_max = at::zeros({problems, op.dim()}, op.vector_options());
  ends.vector_min = at::zeros({problems, op.dim()}, op.vector_options());
  ends.iterations = at::zeros({problems}, at::kInt);
  ends.converged = at::zeros({problems}, at::kBool);
  return ends;
}

void verify_residuals(const LinearOperator& op, const EigensolverOptions& options, ExtremalEigenvalues& result) {
  const auto residual_of = [&op](const at::Tensor& vectors, const at::Tensor& values) {
    return residual_norms(op, vectors.unsqueeze(1), values.unsqueeze(1)).squeeze(1);
  };
  // Before any end is forgotten: a small upper end converges relative to the whole spectrum.
  const at::Tensor norm = result.spectral_norm();
  if (options.ends == Ends::both) {
    result.residual_max = residual_of(result.vector_max, result.lambda_max);
    result.residual_min = residual_of(result.vector_min, result.lambda_min);
  } else {
    // One product serves all problems, whichever end each of them seeks.
    const at::Tensor lower_sought = options.ends == Ends::dominant
                                        ? at::logical_not(result.lambda_max.abs() >= result.lambda_min.abs())
                                              .logical_and(result.lambda_min.isnan().logical_not())
                                        : at::full({op.problems()}, options.ends == Ends::lower, at::kBool);
    const at::Tensor lower_vectors = lower_sought.unsqueeze(1).to(result.vector_max.device());
    const double unknown = std::numeric_limits<double>::quiet_NaN();
    const at::Tensor residual = residual_of(at::where(lower_vectors, result.vector_min, result.vector_max),
                                            at::where(lower_sought, result.lambda_min, result.lambda_max));
    const at::Tensor upper_sought = lower_sought.logical_not();
    result.residual_max = residual.masked_fill(lower_sought, unknown);
    result.residual_min = residual.masked_fill(upper_sought, unknown);
    result.lambda_max = result.lambda_max.masked_fill(lower_sought, unknown);
    result.lambda_min = result.lambda_min.masked_fill(upper_sought, unknown);
    result.vector_max = result.vector_max.masked_fill(lower_vectors, 0);
    result.vector_min = result.vector_min.masked_fill(lower_vectors.logical_not(), 0);
  }
  result.converged = result.residual_norm() <= norm * options.tolerance;
}

void check_eigensolver_arguments(const LinearOperator& op, const EigensolverOptions& options) {
  check_problems(op, options, "an eigensolver");
  if (!(options.tolerance > 0)) {
    throw std::invalid_argument("the tolerance is " + std::to_string(options.tolerance) + "; it must be positive");
  }
  if (options.max_iterations < 1) {
    throw std::invalid_argument("the iteration limit is " + std::to_string(options.max_iterations) +
                                "; it must be positive");
  }
}

}  // namespace hessian
