#include "eigensolvers/start_component.h"

#include <Eigen/Core>
#include <cmath>
#include <unsupported/Eigen/SpecialFunctions>

namespace hessian {

double start_component_probability(double x, int64_t n) {
  if (x >= 1) {
    return 1;
  }
  if (x <= 0 || n == 1) {
    return 0;  // in one dimension, the component is 1
  }
  const double half = 0.5 * static_cast<double>(n - 1);
  // For small arguments, the first terms of the series of the incomplete beta function: x^(1/2) times a power series in x.
  if (half * x < 1e-4) {
    const double log_beta = std::lgamma(0.5) + std::lgamma(half) - std::lgamma(half + 0.5);
    return std::exp(0.5 * std::log(x) - log_beta) * 2 * (1 - (half - 1) * x / 3);
  }
  using Scalar = Eigen::Array<double, 1, 1>;
  return Eigen::betainc(Scalar(0.5), Scalar(half), Scalar(x))[0];
}

}  // namespace hessian
