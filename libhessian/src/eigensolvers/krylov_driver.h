#pragma once

#include <cstdint>

#include "eigensolvers/certificate.h"
#include "hessian/problem_seeds.h"
#include "hessian/top_eigenpairs.h"

namespace hessian {

/// Which Ritz pairs a Krylov iteration computes, when it stops, and what its restarts keep.
struct KrylovPlan {
  Ends ends = Ends::both;
  int64_t count = 1;  ///< pairs to compute: per end with Ends::both, otherwise in total
  double tolerance = 0;
  int64_t max_iterations = 0;  ///< products per problem
  int64_t block_width = 1;
  int64_t verified_at_once = 1;  ///< vectors per call of the operator that verify residuals
  int64_t max_basis = 0;
  Ends kept_ends = Ends::both;  ///< ends from which a restart keeps Ritz pairs
  int64_t kept = 0;             ///< Ritz pairs kept by a restart: per end with Ends::both, otherwise in total
  /// Products before convergence is tested. The first Ritz vectors of a random start may have small residual norms far from
  /// the ends of the spectrum, as for an operator close to a multiple of the identity.
  int64_t min_products = 0;
  /// Stop a problem whose Krylov space is exhausted, instead of continuing with random vectors, unless a certificate is wanted
  /// and they are needed for it.
  bool stop_when_invariant = false;
  CertificatePlan certificate;
  ProblemSeeds seeds;
};

/// Runs (block) Lanczos with thick restart for all problems of an operator: the iteration used by lanczos() and
/// top_eigenpairs().
///
/// A problem leaves the batch when it stops, so that the remaining ones cost less. A problem whose product is not finite
/// leaves at once; its values, residuals, bounds and vectors are NaN, and none of its pairs has converged.
TopEigenpairs krylov_eigenpairs(const LinearOperator& op, const KrylovPlan& plan);

}  // namespace hessian
