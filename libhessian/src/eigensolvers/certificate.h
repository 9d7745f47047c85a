#pragma once

#include <cstdint>
#include <vector>

#include "eigensolvers/krylov_polynomials.h"
#include "hessian/eigenvalues.h"

namespace hessian {

/// What a certificate has to prove, and with which confidence.
struct CertificatePlan {
  /// Largest distance of an eigenvalue from its bound, relative to the spectral norm; 0: no certificate.
  double width = 0;
  /// Probability, per problem, that a bound may fail.
  double risk = 0;
  /// Relative error of products. No bound is closer to its eigenvalue, relative to the spectral norm.
  double rounding = 0;
};

/// Checks the options of a certificate and translates them for an operator.
/// \throws std::invalid_argument  if an option is out of range
CertificatePlan certificate_plan(const LinearOperator& op, const CertificateOptions& options);

/// Ritz values at one end of the spectrum, which are claimed to be all eigenvalues beyond a limit.
struct EndClaim {
  double sign = 1;  ///< 1 for the upper end; -1 for the lower end, where all numbers are multiplied by -1
  std::vector<double> values = {};  ///< descending
  double limit = 0;                 ///< at most the smallest of `values`
};

/// Returns whether every eigenvalue beyond limit + width lies within `width` of a claimed value, except with a probability of
/// at most `risk`. Several eigenvalues may be equal where one is claimed.
bool claim_holds(const KrylovPolynomials& polynomials, const EndClaim& claim, double width, double risk);

/// Returns a bound that no eigenvalue exceeds, except with a probability of at most `risk`.
/// \param sign  1: an upper bound; -1: a lower bound
/// \param from  the largest Ritz value so far (smallest, for a lower bound)
/// \param norm  largest magnitude of a Ritz value
/// \return      `from` plus at least `least_distance`, to about 1 % of the distance; infinite if nothing can be said
double outer_bound(const KrylovPolynomials& polynomials, double sign, double from, double norm, double least_distance,
                   double risk);

}  // namespace hessian
