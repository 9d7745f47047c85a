#pragma once

#include <cstdint>

namespace hessian {

/// Returns the probability that a random unit vector, uniform on the sphere in n dimensions, has a squared component of at most
/// x along a fixed direction: the distribution function of Beta(1/2, (n - 1)/2). Relative accuracy is about 1e-6 or better
/// down to the smallest probabilities, since confidence levels are shared among many problems.
double start_component_probability(double x, int64_t n);

}  // namespace hessian
