#include "hessian/top_eigenpairs.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "eigensolvers/extremal_pairs.h"
#include "eigensolvers/krylov_driver.h"

namespace hessian {
namespace {

void check_at_least(const char* name, int64_t value, int64_t minimum) {
  if (value < minimum) {
    throw std::invalid_argument(std::string(name) + " is " + std::to_string(value) + "; it must be at least " +
                                std::to_string(minimum));
  }
}

/// Checks the options and translates them for an operator of this size.
KrylovPlan plan_of(const LinearOperator& op, const TopEigenpairsOptions& options) {
  check_eigensolver_arguments(op, options.tolerance, options.max_iterations, options.seeds());
  if (options.count < 1 || options.count > op.dim()) {
    throw std::invalid_argument(std::to_string(options.count) + " eigenpairs requested of an operator of size " +
                                std::to_string(op.dim()));
  }
  check_at_least("the block width", options.block_width, 1);
  KrylovPlan plan;
  plan.ends = options.ends;
  plan.count = options.count;
  plan.tolerance = options.tolerance;
  plan.max_iterations = options.max_iterations;
  plan.block_width = std::min(options.block_width, op.dim());
  plan.certificate = certificate_plan(op, options.certificate);
  if (plan.block_width > 1) {
    plan.certificate.width = 0;
  }
  plan.seeds = options.seeds();

  // With Ends::both, small operators have pairs that appear at both ends.
  const int64_t distinct = std::min(options.ends == Ends::both ? 2 * options.count : options.count, op.dim());
  const int64_t steps = (distinct + plan.block_width - 1) / plan.block_width;
  check_at_least("the iteration limit", options.max_iterations, std::min(steps * plan.block_width, op.dim()));
  if (options.max_basis == 0) {
    plan.max_basis = std::max<int64_t>(64, 2 * distinct + 4 * plan.block_width);
  } else {
    check_at_least("the number of basis vectors", options.max_basis,
                   std::min(distinct + 2 * plan.block_width, op.dim()));
    plan.max_basis = options.max_basis;
  }
  plan.max_basis = std::min({plan.max_basis, op.dim(), std::max(options.max_iterations, plan.block_width)});

  // A restart keeps the requested pairs, and further ones from the same ends in half of the remaining room.
  const int64_t kept = distinct + (plan.max_basis - distinct - 2 * plan.block_width) / 2;
  plan.kept_ends = options.ends;
  plan.kept = options.ends == Ends::both ? kept / 2 : kept;
  plan.min_products = distinct + 6;
  return plan;
}

}  // namespace

TopEigenpairs top_eigenpairs(const LinearOperator& op, const TopEigenpairsOptions& options) {
  return krylov_eigenpairs(op, plan_of(op, options));
}

}  // namespace hessian
