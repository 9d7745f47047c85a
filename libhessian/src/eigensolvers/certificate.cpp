#include "eigensolvers/certificate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "linalg/short_number.h"

namespace hessian {
namespace {

void require(bool holds, const char* name, double value, const std::string& expected) {
  if (!holds) {
    throw std::invalid_argument(name + (" is " + short_number(value)) + "; it must be " + expected);
  }
}

}  // namespace

CertificatePlan certificate_plan(const LinearOperator& op, const CertificateOptions& options) {
  require(options.certify >= 0, "certify", options.certify, "positive, or 0 for no certificate");
  require(options.confidence > 0 && options.confidence < 1, "the confidence", options.confidence, "between 0 and 1");
  CertificatePlan plan;
  plan.width = options.certify;
  plan.risk = (1 - options.confidence) / static_cast<double>(std::max(options.joint_problems, op.problems()));
  const double of_vectors = op.vector_options().dtype() == at::kDouble ? 1e-12 : 1e-5;
  plan.rounding = options.product_error > 0 ? options.product_error : of_vectors;
  require(plan.width == 0 || plan.width >= plan.rounding, "certify", plan.width,
          "at least " + short_number(plan.rounding) + ", the relative error of the operator's products");
  return plan;
}

bool claim_holds(const KrylovPolynomials& polynomials, const EndClaim& claim, double width, double risk) {
  std::vector<double> values = claim.values;
  values.push_back(claim.limit);
  double upper = std::numeric_limits<double>::infinity();
  for (const double value : values) {
    const double lower = value + width;
    if (lower < upper) {
      const bool excluded = std::isinf(upper)
                                ? polynomials.risk_outside(claim.sign * lower) <= risk
                                : polynomials.risk_between(claim.sign * lower, claim.sign * upper) <= risk;
      if (!excluded) {
        return false;
      }
    }
    upper = value - width;
  }
  return true;
}

double outer_bound(const KrylovPolynomials& polynomials, double sign, double from, double norm, double least_distance,
                   double risk) {
  const auto excluded = [&](double distance) { return polynomials.risk_outside(from + sign * distance) <= risk; };
  double outside = std::max(norm, std::numeric_limits<double>::min());
  for (int doublings = 0; !excluded(outside); ++doublings) {
    if (doublings == 100) {
      return sign * std::numeric_limits<double>::infinity();
    }
    outside *= 2;
  }
  if (least_distance > 0 && excluded(least_distance)) {
    return from + sign * least_distance;
  }
  // Bisects the logarithm of the distance: K grows with the distance from all Ritz values.
  double inside = least_distance > 0 ? least_distance : outside * 1e-16;
  while (outside > 1.01 * inside) {
    const double middle = std::sqrt(inside * outside);
    (excluded(middle) ? outside : inside) = middle;
  }
  return from + sign * outside;
}

}  // namespace hessian
