#include "eigensolvers/krylov_driver.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "eigensolvers/krylov_batch.h"

namespace hessian {
namespace {

/// Returns `count` columns from the largest Ritz value down.
RitzColumns upper_columns(Eigen::Index size, int64_t count) {
  RitzColumns columns;
  for (Eigen::Index i = 0; i < count; ++i) {
    columns.push_back(size - 1 - i);
  }
  return columns;
}

/// Returns `count` columns from the smallest Ritz value up.
RitzColumns lower_columns(int64_t count) {
  RitzColumns columns(static_cast<std::size_t>(count));
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

/// Returns `count` columns by the magnitude of their Ritz values, largest first.
RitzColumns dominant_columns(const Eigen::VectorXd& values, int64_t count) {
  RitzColumns columns = upper_columns(values.size(), values.size());
  std::stable_sort(columns.begin(), columns.end(),
                   [&](Eigen::Index a, Eigen::Index b) { return std::abs(values[a]) > std::abs(values[b]); });
  columns.resize(static_cast<std::size_t>(count));
  return columns;
}

/// Returns the Ritz pairs at these ends: `count` per end with Ends::both, otherwise in total.
RitzColumns columns_of(const Eigen::VectorXd& values, Ends ends, int64_t count) {
  if (ends == Ends::dominant) {
    return dominant_columns(values, count);
  }
  RitzColumns columns = ends == Ends::lower ? RitzColumns{} : upper_columns(values.size(), count);
  if (ends != Ends::upper) {
    const RitzColumns lower = lower_columns(count);
    columns.insert(columns.end(), lower.begin(), lower.end());
  }
  return columns;
}

/// Returns whether no other eigenvalue can have a larger magnitude than the dominant pairs in `wanted`: the next Ritz
/// value at each end, plus its residual norm, must be smaller. For a single pair, only the other end is tested: the
/// converged pair is the extremal one at its own end.
bool known_dominant(const RitzPairs& ritz, const RitzColumns& wanted, double limit) {
  const double smallest = std::abs(ritz.values[wanted.back()]);
  const auto is_wanted = [&](Eigen::Index column) {
    return std::find(wanted.begin(), wanted.end(), column) != wanted.end();
  };
  Eigen::Index lower = 0;
  Eigen::Index upper = ritz.values.size() - 1;
  while (lower <= upper && is_wanted(lower)) {
    ++lower;
  }
  while (upper > lower && is_wanted(upper)) {
    --upper;
  }
  if (lower > upper) {
    return true;
  }
  const auto known_smaller = [&](Eigen::Index column) {
    return std::abs(ritz.values[column]) + ritz.residuals[column] <= smallest + limit;
  };
  if (wanted.size() == 1) {
    return known_smaller(wanted.front() == 0 ? upper : lower);
  }
  return known_smaller(lower) && known_smaller(upper);
}

bool converged(const RitzPairs& ritz, const KrylovPlan& plan) {
  const double limit = plan.tolerance * ritz.spectral_norm();
  const RitzColumns wanted = columns_of(ritz.values, plan.ends, plan.count);
  const auto small = [&](Eigen::Index column) { return ritz.residuals[column] <= limit; };
  return std::all_of(wanted.begin(), wanted.end(), small) &&
         (plan.ends != Ends::dominant || known_dominant(ritz, wanted, limit));
}

/// Returns the initial result, in which no pair is known yet: NaN.
TopEigenpairs unknown_pairs(const LinearOperator& op, int64_t pairs) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  TopEigenpairs result;
  result.values = at::full({op.problems(), pairs}, unknown, at::kDouble);
  result.vectors = at::full({op.problems(), pairs, op.dim()}, unknown, op.vector_options());
  result.spectral_norm = at::full({op.problems()}, unknown, at::kDouble);
  result.iterations = at::zeros({op.problems()}, at::kInt);
  return result;
}

void store(const KrylovBatch& batch, int64_t i, const RitzPairs& ritz, const KrylovPlan& plan, TopEigenpairs& result) {
  const int64_t problem = batch.problem(i);
  const RitzColumns columns = columns_of(ritz.values, plan.ends, plan.count);
  const at::Tensor values = result.values[problem];
  std::transform(columns.begin(), columns.end(), values.data_ptr<double>(),
                 [&](Eigen::Index column) { return ritz.values[column]; });
  result.vectors[problem].copy_(batch.ritz_vectors(i, ritz, columns));
  result.spectral_norm[problem] = ritz.spectral_norm();
}

/// Removes the problems whose last product was not finite.
void drop_non_finite(KrylovBatch& batch) {
  ProblemIndices finite;
  for (int64_t i = 0; i < batch.size(); ++i) {
    if (batch.finite(i)) {
      finite.push_back(i);
    }
  }
  if (static_cast<int64_t>(finite.size()) < batch.size()) {
    batch.keep(finite);
  }
}

void iterate(KrylovBatch& batch, const LinearOperator& op, const KrylovPlan& plan, TopEigenpairs& result) {
  int64_t products = 0;
  int64_t next_check =
      plan.stop_when_invariant ? 1 : std::min(plan.ends == Ends::both ? 2 * plan.count : plan.count, op.dim());
  while (!batch.empty()) {
    products += batch.width();
    for (int64_t i = 0; i < batch.size(); ++i) {
      result.iterations[batch.problem(i)] = static_cast<int32_t>(products);
    }
    batch.extend();
    if (plan.refuse_non_finite) {
      batch.require_finite();
    } else {
      drop_non_finite(batch);
    }
    const bool last = products + batch.width() > plan.max_iterations;
    if (!batch.full() && !last && products < next_check) {
      continue;
    }
    // Small eigenproblems cost O(m^3): solve them after every product at first, after every tenth of the products later.
    next_check = products + plan.block_width + batch.basis_size() / 10;

    ProblemIndices unfinished;
    std::vector<RitzPairs> unfinished_pairs;
    std::vector<RitzColumns> kept;
    for (int64_t i = 0; i < batch.size(); ++i) {
      RitzPairs ritz = batch.ritz_pairs(i);
      const bool found = products >= plan.min_products && converged(ritz, plan);
      const bool exhausted = batch.basis_size() == op.dim() || (plan.stop_when_invariant && batch.invariant(i, ritz));
      if (found || exhausted || last) {
        store(batch, i, ritz, plan, result);
      } else {
        unfinished.push_back(i);
        if (batch.full()) {
          kept.push_back(columns_of(ritz.values, plan.kept_ends, plan.kept));
          unfinished_pairs.push_back(std::move(ritz));
        }
      }
    }
    if (static_cast<int64_t>(unfinished.size()) < batch.size()) {
      batch.keep(unfinished);
    }
    if (!batch.empty() && batch.full()) {
      batch.restart(unfinished_pairs, kept);
    }
  }
}

}  // namespace

TopEigenpairs krylov_eigenpairs(const LinearOperator& op, const KrylovPlan& plan) {
  const c10::NoGradGuard no_grad;
  TopEigenpairs result = unknown_pairs(op, plan.ends == Ends::both ? 2 * plan.count : plan.count);
  {
    KrylovBatch batch(op, plan.block_width, plan.max_basis, plan.seeds);
    iterate(batch, op, plan, result);
  }  // releases the basis: the products for the residuals need its memory
  result.residuals = residual_norms(op, result.vectors, result.values);
  result.converged = result.residuals <= plan.tolerance * result.spectral_norm.unsqueeze(1);
  return result;
}

}  // namespace hessian
