#include "hessian/top_eigenpairs.h"

#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "eigensolvers/krylov_batch.h"

namespace hessian {
namespace {

/// Sizes of the iteration, the options' numbers as they are for this n.
struct Sizes {
  int64_t pairs = 0;     ///< pairs in the result, K
  int64_t distinct = 0;  ///< K without those that stand at both ends
  int64_t width = 0;     ///< b
  int64_t max_basis = 0;
};

void check_at_least(const char* what, int64_t value, int64_t least) {
  if (value < least) {
    throw std::invalid_argument(std::string(what) + " is " + std::to_string(value) + "; it must be " +
                                std::to_string(least) + " at least");
  }
}

Sizes checked_sizes(const LinearOperator& op, const TopEigenpairsOptions& options) {
  check_eigensolver_arguments(op, options);
  if (options.count < 1 || options.count > op.dim()) {
    throw std::invalid_argument(std::to_string(options.count) + " eigenpairs asked of an operator of size " +
                                std::to_string(op.dim()));
  }
  check_at_least("the problem width", options.block_width, 1);
  Sizes sizes;
  sizes.pairs = options.ends == Ends::both ? 2 * options.count : options.count;
  sizes.distinct = std::min(sizes.pairs, op.dim());
  sizes.width = std::min(options.block_width, op.dim());
  const int64_t steps = (sizes.distinct + sizes.width - 1) / sizes.width;
  check_at_least("the iteration limit", options.max_iterations, std::min(steps * sizes.width, op.dim()));
  if (options.max_basis == 0) {
    sizes.max_basis = std::max<int64_t>(64, 2 * sizes.distinct + 4 * sizes.width);
  } else {
    check_at_least("the number of basis vectors", options.max_basis,
                   std::min(sizes.distinct + 2 * sizes.width, op.dim()));
    sizes.max_basis = options.max_basis;
  }
  sizes.max_basis = std::min({sizes.max_basis, op.dim(), std::max(options.max_iterations, sizes.width)});
  return sizes;
}

/// `count` columns from the largest Ritz value down.
RitzColumns upper_columns(Eigen::Index size, int64_t count) {
  RitzColumns columns;
  for (Eigen::Index i = 0; i < count; ++i) {
    columns.push_back(size - 1 - i);
  }
  return columns;
}

/// `count` columns from the smallest Ritz value up.
RitzColumns lower_columns(int64_t count) {
  RitzColumns columns(static_cast<std::size_t>(count));
  std::iota(columns.begin(), columns.end(), 0);
  return columns;
}

/// `count` columns by the magnitude of their Ritz values, largest first.
RitzColumns dominant_columns(const Eigen::VectorXd& values, int64_t count) {
  RitzColumns columns = upper_columns(values.size(), values.size());
  std::stable_sort(columns.begin(), columns.end(),
                   [&](Eigen::Index a, Eigen::Index b) { return std::abs(values[a]) > std::abs(values[b]); });
  columns.resize(static_cast<std::size_t>(count));
  return columns;
}

/// The Ritz pairs of the ends sought: `count` of each end, or of the dominant ones.
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

bool all_converged(const RitzPairs& ritz, const TopEigenpairsOptions& options) {
  const double limit = options.tolerance * ritz.spectral_norm();
  const RitzColumns wanted = columns_of(ritz.values, options.ends, options.count);
  const auto small = [&](Eigen::Index column) { return ritz.residuals[column] <= limit; };
  if (!std::all_of(wanted.begin(), wanted.end(), small)) {
    return false;
  }
  if (options.ends != Ends::dominant) {
    return true;
  }
  // At each end the next Ritz value must be known well enough to be smaller than those found.
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
  const auto known_smaller = [&](Eigen::Index column) {
    return std::abs(ritz.values[column]) + ritz.residuals[column] <= smallest + limit;
  };
  return lower > upper || (known_smaller(lower) && known_smaller(upper));
}

/// What a restart keeps: the pairs sought and half of the room beyond them, from the same ends.
RitzColumns kept_columns(const RitzPairs& ritz, Ends ends, const Sizes& sizes) {
  const int64_t kept = sizes.distinct + (sizes.max_basis - sizes.distinct - 2 * sizes.width) / 2;
  return columns_of(ritz.values, ends, ends == Ends::both ? kept / 2 : kept);
}

void store(const KrylovBatch& batch, int64_t i, const RitzPairs& ritz, const TopEigenpairsOptions& options,
           int64_t products, TopEigenpairs& result) {
  const int64_t problem = batch.problem(i);
  const RitzColumns columns = columns_of(ritz.values, options.ends, options.count);
  const at::Tensor values = result.values[problem];
  std::transform(columns.begin(), columns.end(), values.data_ptr<double>(),
                 [&](Eigen::Index column) { return ritz.values[column]; });
  result.vectors[problem].copy_(batch.ritz_vectors(i, ritz, columns));
  result.spectral_norm[problem] = ritz.spectral_norm();
  result.iterations[problem] = static_cast<int32_t>(products);
}

}  // namespace

TopEigenpairs top_eigenpairs(const LinearOperator& op, const TopEigenpairsOptions& options) {
  const Sizes sizes = checked_sizes(op, options);
  const c10::NoGradGuard no_grad;
  TopEigenpairs result;
  result.values = at::empty({op.problems(), sizes.pairs}, at::kDouble);
  result.vectors = at::empty({op.problems(), sizes.pairs, op.dim()}, op.vector_options());
  result.spectral_norm = at::empty({op.problems()}, at::kDouble);
  result.iterations = at::empty({op.problems()}, at::kInt);

  // A few products beyond the pairs, since the first Ritz vectors of a random start may have small residual norms far
  // from the ends, as they do where the operator is close to a multiple of the identity.
  const int64_t fewest_products = sizes.distinct + 6;
  std::optional<KrylovBatch> basis(std::in_place, op, sizes.width, sizes.max_basis, options);
  KrylovBatch& batch = *basis;
  int64_t products = 0;
  int64_t next_check = sizes.distinct;
  while (!batch.empty()) {
    products += batch.width();
    batch.extend();
    batch.require_finite();
    const bool last = products + batch.width() > options.max_iterations;
    if (!batch.full() && !last && products < next_check) {
      continue;
    }
    // Small eigenproblems grow as m^3: they are not solved after each product once they are large.
    next_check = products + sizes.width + batch.basis_size() / 10;

    ProblemIndices unfinished;
    std::vector<RitzPairs> unfinished_pairs;
    std::vector<RitzColumns> kept;
    for (int64_t i = 0; i < batch.size(); ++i) {
      RitzPairs ritz = batch.ritz_pairs(i);
      const bool found = products >= fewest_products && all_converged(ritz, options);
      if (found || batch.basis_size() == op.dim() || last) {
        store(batch, i, ritz, options, products, result);
      } else {
        unfinished.push_back(i);
        if (batch.full()) {
          kept.push_back(kept_columns(ritz, options.ends, sizes));
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
  basis.reset();  // the products of the residuals need its memory
  result.residuals = residual_norms(op, result.vectors, result.values);
  if (!result.residuals.isfinite().all().item<bool>()) {
    throw std::runtime_error("the operator's product with an eigenvector is not finite");
  }
  result.converged = result.residuals <= options.tolerance * result.spectral_norm.unsqueeze(1);
  return result;
}

}  // namespace hessian
