#include "hessian/power_iteration.h"

#include <c10/core/GradMode.h>

#include <cmath>
#include <limits>
#include <utility>

#include "eigensolvers/extremal_pairs.h"
#include "hessian/operator_algebra.h"

namespace hessian {
namespace {

/// The dominant pair of each problem.
struct DominantPair {
  at::Tensor value;       // [S]
  at::Tensor vector;      // [S, n]
  at::Tensor iterations;  // [S]
};

/// Computes the dominant pair of each problem.
/// \param scale  [S], to which the tolerance is relative; 0: relative to the eigenvalue itself
DominantPair dominant_pair(const LinearOperator& op, const PowerIterationOptions& options, const ProblemSeeds& seeds,
                           const at::Tensor& scale) {
  const int64_t problems = op.problems();
  at::Tensor v = random_unit_vectors(op, seeds);
  DominantPair pair{at::zeros({problems}, at::kDouble), v.clone(), at::zeros({problems}, at::kInt)};
  ProblemIndices active = all_problems(problems);
  for (int64_t iteration = 1; !active.empty(); ++iteration) {
    const at::Tensor product = op.apply(v.unsqueeze(1), active).squeeze(1);
    const at::Tensor value = (v * product).sum(1, true);
    const at::Tensor residual = (product - value * v).norm(2, 1).to(at::kCPU, at::kDouble);
    const at::Tensor norm = product.norm(2, 1, true);
    // A vector in the null space is an eigenvector already: it stays.
    const at::Tensor next = at::where(norm > 0, product / norm, v);

    const at::Tensor host_value = value.squeeze(1).to(at::kCPU, at::kDouble);
    ProblemIndices unfinished;
    ProblemIndices remaining;
    for (int64_t i = 0; i < static_cast<int64_t>(active.size()); ++i) {
      const int64_t problem = active[static_cast<std::size_t>(i)];
      const double lambda = host_value[i].item<double>();
      const double known_scale = scale[problem].item<double>();
      const double limit = options.tolerance * (known_scale > 0 ? known_scale : std::abs(lambda));
      const double distance = residual[i].item<double>();
      const bool finite = std::isfinite(distance);
      if (distance <= limit || !finite || iteration == options.max_iterations) {
        pair.value[problem] = finite ? lambda : std::numeric_limits<double>::quiet_NaN();
        pair.vector[problem].copy_(v[i]);
        pair.iterations[problem] = static_cast<int32_t>(iteration);
      } else {
        unfinished.push_back(i);
        remaining.push_back(problem);
      }
    }
    v = rows_of(next, unfinished);
    active = std::move(remaining);
  }
  return pair;
}

}  // namespace

ExtremalEigenvalues power_extremes(const LinearOperator& op, const PowerIterationOptions& options) {
  check_eigensolver_arguments(op, options.tolerance, options.max_iterations, options.seeds());
  const c10::NoGradGuard no_grad;
  const DominantPair first = dominant_pair(op, options, options.seeds(), at::zeros({op.problems()}, at::kDouble));
  ExtremalEigenvalues result = unknown_ends(op);
  if (options.ends == Ends::dominant) {
    const at::Tensor is_upper = first.value >= 0;
    const at::Tensor vector_is_upper = is_upper.unsqueeze(1).to(first.vector.device());
    const at::Tensor zeros = at::zeros_like(first.vector);
    result.lambda_max = at::where(is_upper, first.value, result.lambda_max);
    result.lambda_min = at::where(is_upper, result.lambda_min, first.value);
    result.vector_max = at::where(vector_is_upper, first.vector, zeros);
    result.vector_min = at::where(vector_is_upper, zeros, first.vector);
    result.iterations = first.iterations;
    verify_residuals(op, options.ends, options.tolerance, result.spectral_norm(), result);
    return result;
  }
  // The dominant eigenvalue of H - lambda I is the eigenvalue at the other end, minus lambda.
  ProblemSeeds second_seeds = options.seeds();
  second_seeds.seed += 1;
  const OperatorPtr shifted_op = shifted(borrow(op), first.value);
  const DominantPair second = dominant_pair(*shifted_op, options, second_seeds, first.value.abs());
  const at::Tensor other = first.value + second.value;

  const at::Tensor first_is_larger = (first.value >= other).unsqueeze(1).to(first.vector.device());
  result.lambda_max = at::maximum(first.value, other);
  result.lambda_min = at::minimum(first.value, other);
  result.vector_max = at::where(first_is_larger, first.vector, second.vector);
  result.vector_min = at::where(first_is_larger, second.vector, first.vector);
  result.iterations = first.iterations + second.iterations;
  verify_residuals(op, options.ends, options.tolerance, result.spectral_norm(), result);
  return result;
}

}  // namespace hessian
