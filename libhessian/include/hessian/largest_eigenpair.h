#pragma once

#include "hessian/eigenvalues.h"

namespace hessian {

struct EigenpairOptions {
  /// Largest residual norm ||Hv - lambda v|| of a converged pair, relative to the spectral norm.
  double tolerance = 1e-3;
  /// The eigenpair to compute: Ends::dominant, Ends::upper or Ends::lower.
  Ends ends = Ends::dominant;
  CertificateOptions certificate = {};
  /// Largest number of products.
  int64_t max_iterations = 200;
  /// Number of basis vectors stored, at least 8, or n if that is smaller: see LanczosOptions.
  int64_t max_basis = 64;
  /// Seed of the start vector.
  uint64_t seed = 0;
};

/// An eigenvalue of one symmetric operator, with its eigenvector.
struct Eigenpair {
  double value = 0;
  at::Tensor vector;         ///< [n], a unit vector
  double residual_norm = 0;  ///< ||Hv - lambda v||; some eigenvalue lies within this distance of `value`
  /// An eigenvalue exceeds this bound (with Ends::dominant in magnitude; with Ends::lower it lies below it) only with
  /// probability 1 - confidence; NaN without a certificate.
  double bound = 0;
  bool converged = false;  ///< whether residual_norm and `bound` are within their tolerances
  int64_t iterations = 0;  ///< products used, without that for the residual
};

/// Computes the eigenvalue of largest magnitude of an operator of one problem, with its sign: its magnitude is the spectral
/// norm. `options.ends` selects the largest (Ends::upper) or smallest (Ends::lower) eigenvalue instead. See
/// examples/any_model.cpp.
///
/// \param op       symmetric operator of one problem
/// \param options  e.g. {.tolerance = 1e-4, .ends = Ends::upper}
/// \throws std::invalid_argument  if the operator does not have exactly one problem, or an option is out of range
/// Method, cost and source: see lanczos().
Eigenpair largest_eigenpair(const LinearOperator& op, const EigenpairOptions& options = {});

}  // namespace hessian
