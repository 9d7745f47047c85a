#include "hessian/lanczos.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "eigensolvers/krylov_batch.h"

namespace hessian {
namespace {

/// Whether the residual norms of the ends sought are small enough.
bool converged(const RitzPairs& ritz, Ends ends, double tolerance) {
  const Eigen::Index last = ritz.values.size() - 1;
  const double lower = ritz.residuals[0];
  const double upper = ritz.residuals[last];
  const double norm = ritz.spectral_norm();
  const double limit = tolerance * norm;
  if (ends != Ends::dominant) {
    return (ends == Ends::lower || upper <= limit) && (ends == Ends::upper || lower <= limit);
  }
  // The other end must be known well enough to be the smaller one.
  const bool upper_leads = std::abs(ritz.values[last]) >= std::abs(ritz.values[0]);
  const double other = upper_leads ? std::abs(ritz.values[0]) + lower : std::abs(ritz.values[last]) + upper;
  return (upper_leads ? upper : lower) <= limit && other <= norm + limit;
}

/// A quarter of the basis from each end of the spectrum.
RitzColumns kept_columns(int64_t basis_size, int64_t max_basis) {
  const int64_t a_side = max_basis / 4;
  RitzColumns columns(static_cast<std::size_t>(2 * a_side));
  const auto upper = columns.begin() + a_side;
  std::iota(columns.begin(), upper, 0);
  std::iota(upper, columns.end(), basis_size - a_side);
  return columns;
}

void store(const KrylovBatch& batch, int64_t i, const RitzPairs& ritz, int64_t iteration, ExtremalEigenvalues& result) {
  const int64_t problem = batch.problem(i);
  const Eigen::Index last = ritz.values.size() - 1;
  result.lambda_max[problem] = ritz.values[last];
  result.lambda_min[problem] = ritz.values[0];
  const at::Tensor vectors = batch.ritz_vectors(i, ritz, {last, 0});
  result.vector_max[problem].copy_(vectors[0]);
  result.vector_min[problem].copy_(vectors[1]);
  result.iterations[problem] = static_cast<int32_t>(iteration);
}

}  // namespace

ExtremalEigenvalues lanczos(const LinearOperator& op, const LanczosOptions& options) {
  check_eigensolver_arguments(op, options);
  const int64_t max_basis = std::min(options.max_basis, op.dim());
  if (max_basis < std::min<int64_t>(8, op.dim())) {
    throw std::invalid_argument("the basis has " + std::to_string(options.max_basis) +
                                " vectors; it must have 8 at least");
  }
  const c10::NoGradGuard no_grad;
  ExtremalEigenvalues result = unknown_ends(op);
  // The random start of an operator close to a multiple of the identity is nearly an eigenvector, though of no extreme
  // eigenvalue: a few more products show the ends.
  constexpr int64_t fewest_iterations = 8;
  const int64_t held = std::min(max_basis, options.max_iterations);
  std::optional<KrylovBatch> basis(std::in_place, op, 1, held, options);
  KrylovBatch& batch = *basis;
  int64_t next_check = 1;
  for (int64_t iteration = 1; !batch.empty(); ++iteration) {
    batch.extend();
    const bool last = iteration == options.max_iterations;
    if (!batch.full() && !last && iteration < next_check) {
      continue;
    }
    // Small eigenproblems grow as m^3: look at every iteration at first, at every tenth part of them later.
    next_check = iteration + 1 + batch.basis_size() / 10;

    ProblemIndices unfinished;
    std::vector<RitzPairs> unfinished_pairs;
    for (int64_t i = 0; i < batch.size(); ++i) {
      RitzPairs ritz = batch.ritz_pairs(i);
      const bool found = iteration >= fewest_iterations && converged(ritz, options.ends, options.tolerance);
      if (found || batch.invariant(i, ritz) || last) {
        store(batch, i, ritz, iteration, result);
      } else {
        unfinished.push_back(i);
        unfinished_pairs.push_back(std::move(ritz));
      }
    }
    if (static_cast<int64_t>(unfinished.size()) < batch.size()) {
      batch.keep(unfinished);
    }
    if (!batch.empty() && batch.full()) {
      batch.restart(unfinished_pairs,
                    std::vector<RitzColumns>(unfinished.size(), kept_columns(batch.basis_size(), held)));
    }
  }
  basis.reset();  // the products of the residuals need its memory
  verify_residuals(op, options, result);
  return result;
}

}  // namespace hessian
