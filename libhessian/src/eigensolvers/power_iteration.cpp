#include "hessian/power_iteration.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <stdexcept>

#include "hessian/operator_algebra.h"

namespace hessian {
namespace {

/// The dominant pair of each problem; tensors [S] and [S, n].
struct DominantPair {
  at::Tensor value;
  at::Tensor vector;
  at::Tensor iterations;
};

/// The part of each row that is orthogonal to the vectors found already, [S, i, n], which may be none.
at::Tensor orthogonal_to(const at::Tensor& found, const ProblemIndices& problems, const at::Tensor& rows) {
  if (!found.defined()) {
    return rows;
  }
  const at::Tensor u = rows_of(found, problems);
  return rows - at::bmm(at::bmm(rows.unsqueeze(1), u.transpose(1, 2)), u).squeeze(1);
}

/// \param found  [S, i, n], orthonormal: the pair is sought in their complement
/// \param scale  [S], what the tolerance is relative to; where it is zero, the eigenvalue itself
DominantPair dominant_pair(const LinearOperator& op, const EigensolverOptions& options, const at::Tensor& found,
                           const at::Tensor& scale) {
  const int64_t problems = op.problems();
  DominantPair pair{at::zeros({problems}, at::kDouble), at::Tensor(), at::zeros({problems}, at::kInt)};
  ProblemIndices active = all_problems(problems);
  at::Tensor v = random_unit_vectors(op, options);
  for (int pass = 0; pass < 2; ++pass) {
    v = orthogonal_to(found, active, v);
    v = v / v.norm(2, 1, true);
  }
  pair.vector = v.clone();
  for (int64_t iteration = 1; !active.empty(); ++iteration) {
    const at::Tensor product = orthogonal_to(found, active, op.apply(v.unsqueeze(1), active).squeeze(1));
    const at::Tensor value = (v * product).sum(1, true);
    const at::Tensor residual = (product - value * v).norm(2, 1).to(at::kCPU, at::kDouble);
    const at::Tensor norm = product.norm(2, 1, true);
    // A vector that is mapped to zero is an eigenvector already, and stays.
    const at::Tensor following = at::where(norm > 0, product / norm, v);

    const at::Tensor host_value = value.squeeze(1).to(at::kCPU, at::kDouble);
    ProblemIndices unfinished;
    for (int64_t i = 0; i < static_cast<int64_t>(active.size()); ++i) {
      const int64_t problem = active[static_cast<std::size_t>(i)];
      const double lambda = host_value[i].item<double>();
      const double error = residual[i].item<double>();
      const double known_scale = scale[problem].item<double>();
      const bool converged = error <= options.tolerance * (known_scale > 0 ? known_scale : std::abs(lambda));
      if (converged || iteration == options.max_iterations) {
        pair.value[problem] = lambda;
        pair.vector[problem].copy_(v[i]);
        pair.iterations[problem] = static_cast<int32_t>(iteration);
      } else {
        unfinished.push_back(i);
      }
    }
    ProblemIndices remaining;
    for (const int64_t place : unfinished) {
      remaining.push_back(active[static_cast<std::size_t>(place)]);
    }
    v = rows_of(following, unfinished);
    active = std::move(remaining);
  }
  return pair;
}

}  // namespace

DominantEigenpairs power_iteration(const LinearOperator& op, const EigensolverOptions& options, int64_t count) {
  check_eigensolver_arguments(op, options);
  if (count < 1 || count > op.dim()) {
    throw std::invalid_argument(std::to_string(count) + " eigenpairs asked of an operator of size " +
                                std::to_string(op.dim()));
  }
  const c10::NoGradGuard no_grad;
  DominantEigenpairs pairs;
  at::Tensor scale = at::zeros({op.problems()}, at::kDouble);
  for (int64_t i = 0; i < count; ++i) {
    EigensolverOptions pair_options = options;
    pair_options.seed += static_cast<uint64_t>(i);
    const DominantPair pair = dominant_pair(op, pair_options, pairs.vectors, scale);
    const auto with = [i](const at::Tensor& all, const at::Tensor& one) {
      return i == 0 ? one.unsqueeze(1) : at::cat({all, one.unsqueeze(1)}, 1);
    };
    pairs.values = with(pairs.values, pair.value);
    pairs.vectors = with(pairs.vectors, pair.vector);
    pairs.iterations = with(pairs.iterations, pair.iterations);
    scale = at::maximum(scale, pair.value.abs());
  }
  // In the complement the errors of the pairs found before do not show: these are the residuals of the operator itself.
  pairs.residuals = residual_norms(op, pairs.vectors, pairs.values);
  pairs.converged = pairs.residuals <= options.tolerance * scale.unsqueeze(1);
  return pairs;
}

ExtremalEigenvalues power_extremes(const LinearOperator& op, const EigensolverOptions& options) {
  check_eigensolver_arguments(op, options);
  const c10::NoGradGuard no_grad;
  const DominantPair first = dominant_pair(op, options, {}, at::zeros({op.problems()}, at::kDouble));
  ExtremalEigenvalues result = unknown_ends(op);
  if (options.ends == Ends::dominant) {
    const at::Tensor positive = first.value >= 0;
    const at::Tensor choice = positive.unsqueeze(1).to(first.vector.device());
    const at::Tensor nothing = at::zeros_like(first.vector);
    result.lambda_max = at::where(positive, first.value, result.lambda_max);
    result.lambda_min = at::where(positive, result.lambda_min, first.value);
    result.vector_max = at::where(choice, first.vector, nothing);
    result.vector_min = at::where(choice, nothing, first.vector);
    result.iterations = first.iterations;
    verify_residuals(op, options, result);
    return result;
  }
  const OperatorPtr rest = shifted(borrow(op), first.value);
  EigensolverOptions second_options = options;
  second_options.seed += 1;
  const DominantPair second = dominant_pair(*rest, second_options, {}, first.value.abs());
  const at::Tensor other = first.value + second.value;

  const at::Tensor first_is_larger = first.value >= other;
  const at::Tensor choice = first_is_larger.unsqueeze(1).to(first.vector.device());
  result.lambda_max = at::maximum(first.value, other);
  result.lambda_min = at::minimum(first.value, other);
  result.vector_max = at::where(choice, first.vector, second.vector);
  result.vector_min = at::where(choice, second.vector, first.vector);
  result.iterations = first.iterations + second.iterations;
  verify_residuals(op, options, result);
  return result;
}

}  // namespace hessian
