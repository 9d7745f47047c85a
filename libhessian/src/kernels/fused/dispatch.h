#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <stdexcept>
#include <string>

#include "kernels/vector_math.h"

// Helpers of the functions that have their own kernels: the choice of the element type, and argument checks.

namespace hessian::fused {

/// Returns the precision of sums over entries of x.
inline at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Calls body with a value of x's element type: float, double or bfloat16.
template <class Body>
void for_type_of(const at::Tensor& x, const Body& body) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return body(float{});
    case at::kDouble:
      return body(double{});
    default:
      return body(c10::BFloat16{});
  }
}

/// Checks the shape of x, and that it is on the device of `other`: kernels rely on both.
/// \throws std::invalid_argument  if not
inline void expect_shape(const char* name, const at::Tensor& x, at::IntArrayRef expected, const at::Tensor& other) {
  if (x.sizes() != expected) {
    throw std::invalid_argument(std::string(name) + " is " + c10::str(x.sizes()) + ", expected " + c10::str(expected));
  }
  if (x.device() != other.device()) {
    throw std::invalid_argument(std::string(name) + " is on " + x.device().str() + ", expected " +
                                other.device().str());
  }
}

/// Throws if a backward pass is itself being recorded. Autograd would treat the results of kernels as constants, and
/// second derivatives would be silently wrong.
inline void refuse_second_derivative(const char* primitive) {
  if (at::GradMode::is_enabled()) {
    throw std::runtime_error(std::string(primitive) +
                             " for training has no second derivative; evaluate with Derivatives::any");
  }
}

}  // namespace hessian::fused
