#pragma once

#include <ATen/ATen.h>

#include <optional>
#include <string>
#include <vector>

#include "hessian/program.h"

namespace hessian {

/// A value of a program that its precision cannot hold: one that is not finite, or the finite input of a norm whose sum of
/// squares is not. Such a norm returns zeros, so that the loss stays finite and the curvature in front of it vanishes.
struct Overflow {
  std::string place;                         ///< such as "the input of RMSNorm 'layers.2.ffn_norm.weight'"
  double largest = 0;                        ///< largest magnitude of the value's entries
  bool finite = true;                        ///< whether the value itself is finite
  std::vector<std::string> parameters = {};  ///< parameters of the step that computed a value that is not finite
};

/// Returns the overflow of a value that evaluate() has computed or was given, if there is one.
/// \param value   its number in the program
/// \param tensor  [..., width]; integers never overflow
/// Cost: one pass over the value.
std::optional<Overflow> find_overflow(const Program& program, ValueId value, const at::Tensor& tensor);

}  // namespace hessian
