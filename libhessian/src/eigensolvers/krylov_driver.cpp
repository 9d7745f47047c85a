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

bool residuals_small(const RitzPairs& ritz, const KrylovPlan& plan) {
  const double limit = plan.tolerance * ritz.spectral_norm();
  const RitzColumns wanted = columns_of(ritz.values, plan.ends, plan.count);
  const auto small = [&](Eigen::Index column) { return ritz.residuals[column] <= limit; };
  return std::all_of(wanted.begin(), wanted.end(), small) &&
         (plan.certificate.width > 0 || plan.ends != Ends::dominant || known_dominant(ritz, wanted, limit));
}

/// Signs of the ends at which eigenvalues may be missed: 1 for the upper, -1 for the lower.
std::vector<double> signs_of(Ends ends) {
  switch (ends) {
    case Ends::upper:
      return {1};
    case Ends::lower:
      return {-1};
    default:
      return {1, -1};
  }
}

/// Returns the share of a problem's risk that belongs to each end and pair.
double risk_per_pair(const KrylovPlan& plan) {
  return plan.certificate.risk / static_cast<double>(plan.count * static_cast<int64_t>(signs_of(plan.ends).size()));
}

/// Returns what the requested pairs claim about one end of the spectrum.
EndClaim claim_of(const RitzPairs& ritz, const KrylovPlan& plan, double sign) {
  RitzColumns wanted = columns_of(ritz.values, plan.ends, plan.count);
  if (plan.ends == Ends::both) {  // first the pairs of the upper end
    const auto half = static_cast<std::ptrdiff_t>(wanted.size() / 2);
    wanted = sign > 0 ? RitzColumns(wanted.begin(), wanted.begin() + half)
                      : RitzColumns(wanted.begin() + half, wanted.end());
  }
  EndClaim claim{.sign = sign};
  for (const Eigen::Index column : wanted) {
    const double value = sign * ritz.values[column];
    if (plan.ends != Ends::dominant || value > 0) {
      claim.values.push_back(value);
    }
  }
  claim.limit = plan.ends == Ends::dominant ? std::abs(ritz.values[wanted.back()]) : claim.values.back();
  return claim;
}

/// Returns whether no eigenvalue that belongs to the requested ones was missed.
bool certified(const KrylovBatch& batch, int64_t i, const RitzPairs& ritz, const KrylovPlan& plan) {
  const std::vector<double> signs = signs_of(plan.ends);
  return batch.complete() || std::all_of(signs.begin(), signs.end(), [&](double sign) {
           return claim_holds(batch.polynomials(i), claim_of(ritz, plan, sign),
                              plan.certificate.width * ritz.spectral_norm(), risk_per_pair(plan));
         });
}

/// Range of all Ritz values of a problem so far. Restarts may discard some of the outermost.
struct RitzRange {
  double smallest = std::numeric_limits<double>::infinity();
  double largest = -std::numeric_limits<double>::infinity();

  /// Returns the largest magnitude so far.
  double spectral_norm() const { return std::max(std::abs(smallest), std::abs(largest)); }
};

/// Returns the initial result, in which no pair is known yet: NaN.
TopEigenpairs unknown_pairs(const LinearOperator& op, int64_t pairs) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  TopEigenpairs result;
  result.values = at::full({op.problems(), pairs}, unknown, at::kDouble);
  result.vectors = at::full({op.problems(), pairs, op.dim()}, unknown, op.vector_options());
  result.spectral_norm = at::full({op.problems()}, unknown, at::kDouble);
  result.upper_bound = result.spectral_norm.clone();
  result.lower_bound = result.spectral_norm.clone();
  result.asymmetry = result.spectral_norm.clone();
  result.certified = at::zeros({op.problems()}, at::kBool);
  result.iterations = at::zeros({op.problems()}, at::kInt);
  return result;
}

void store_bounds(const KrylovBatch& batch, int64_t i, const RitzRange& range, const KrylovPlan& plan,
                  TopEigenpairs& result) {
  const int64_t problem = batch.problem(i);
  const double norm = range.spectral_norm();
  const double rounding = plan.certificate.rounding * norm;
  for (const double sign : signs_of(plan.ends)) {
    const double from = sign > 0 ? range.largest : range.smallest;
    const double bound = batch.complete()
                             ? from + sign * rounding
                             : outer_bound(batch.polynomials(i), sign, from, norm, rounding, risk_per_pair(plan));
    (sign > 0 ? result.upper_bound : result.lower_bound)[problem] = bound;
  }
}

void store(const KrylovBatch& batch, int64_t i, const RitzPairs& ritz, const RitzRange& range, const KrylovPlan& plan,
           TopEigenpairs& result) {
  const int64_t problem = batch.problem(i);
  const RitzColumns columns = columns_of(ritz.values, plan.ends, plan.count);
  const at::Tensor values = result.values[problem];
  std::transform(columns.begin(), columns.end(), values.data_ptr<double>(),
                 [&](Eigen::Index column) { return ritz.values[column]; });
  result.vectors[problem].copy_(batch.ritz_vectors(i, ritz, columns));
  result.spectral_norm[problem] = range.spectral_norm();
  if (plan.block_width == 1) {
    result.asymmetry[problem] = batch.asymmetry(i);
  }
  if (plan.certificate.width > 0) {
    store_bounds(batch, i, range, plan, result);
  }
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
  std::vector<RitzRange> ranges(static_cast<std::size_t>(op.problems()));
  while (!batch.empty()) {
    products += batch.width();
    for (int64_t i = 0; i < batch.size(); ++i) {
      result.iterations[batch.problem(i)] = static_cast<int32_t>(products);
    }
    batch.extend();
    drop_non_finite(batch);
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
      RitzRange& range = ranges[static_cast<std::size_t>(batch.problem(i))];
      range.smallest = std::min(range.smallest, ritz.values[0]);
      range.largest = std::max(range.largest, ritz.values[ritz.values.size() - 1]);
      const bool stops = products >= plan.min_products && residuals_small(ritz, plan);
      const bool exhausted = plan.stop_when_invariant && batch.invariant(i, ritz);
      const bool must_stop = batch.complete() || last;
      const bool certifies = plan.certificate.width > 0;
      const bool is_certified = certifies && (stops || exhausted || must_stop) && certified(batch, i, ritz, plan);
      if (must_stop || ((stops || exhausted) && (is_certified || !certifies))) {
        result.certified[batch.problem(i)] = is_certified;
        store(batch, i, ritz, range, plan, result);
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
  result.residuals = residual_norms(op, result.vectors, result.values, plan.verified_at_once);
  // Comparisons with NaN are false: a problem that is not finite has not converged.
  result.converged = result.residuals <= plan.tolerance * result.spectral_norm.unsqueeze(1);
  if (plan.certificate.width > 0) {
    result.converged.logical_and_(result.certified.unsqueeze(1));
  }
  return result;
}

}  // namespace hessian
