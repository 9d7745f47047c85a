#pragma once

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <stdexcept>
#include <string>

#include "kernels/vector_math.h"

// What the functions with kernels of their own share: the choice of a kernel's type, and the checks of what it is
// given.

namespace hessian::fused {

/// The precision of sums over entries of x.
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

/// The kernels trust their sizes, and that all memory is where x is.
inline void expect_shape(const char* name, const at::Tensor& x, at::IntArrayRef expected, const at::Tensor& beside) {
  if (x.sizes() != expected) {
    throw std::invalid_argument(std::string(name) + " is " + c10::str(x.sizes()) + ", expected " + c10::str(expected));
  }
  if (x.device() != beside.device()) {
    throw std::invalid_argument(std::string(name) + " is on " + x.device().str() + ", expected " +
                                beside.device().str());
  }
}

/// Autograd would take what a kernel writes for a constant, and second derivatives would be silently wrong.
inline void refuse_second_derivative(const char* primitive) {
  if (at::GradMode::is_enabled()) {
    throw std::runtime_error(std::string(primitive) +
                             " for training has no second derivative; evaluate with Derivatives::any");
  }
}

}  // namespace hessian::fused
