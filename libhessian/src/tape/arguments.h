#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "hessian/program.h"

// Checks of the arguments that Tape and ParameterTape share.

namespace hessian::tape {

/// Returns whether the values are in strictly ascending order.
bool ascends(const std::vector<ValueId>& values);

/// Checks the precision of x.
/// \throws std::invalid_argument  if the tape cannot compute in x's precision on its device
void check_precision(const at::Tensor& x);

}  // namespace hessian::tape
