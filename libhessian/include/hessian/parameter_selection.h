#pragma once

#include <string>
#include <vector>

#include "hessian/parameters.h"

namespace hessian {

/// Names of the parameters that match any of some patterns, in the parameters' order, each once.
///
/// In a pattern `*` stands for any run of characters, the empty one and dots included, and `?` for any one; every other
/// character stands for itself: `layers.*.attention.*`, `layers.?.ffn_norm.weight`.
///
/// \throws std::invalid_argument  if there is no pattern, or for a pattern that nothing matches, naming some parameters
/// Cost: patterns times parameters times their length, for each `*`.
std::vector<std::string> select_parameters(const Parameters& parameters, const std::vector<std::string>& patterns);

/// The parameters of these names, in the order of the names.
/// \throws std::out_of_range      if one is absent
/// \throws std::invalid_argument  if one is named twice
Parameters parameters_named(const Parameters& parameters, const std::vector<std::string>& names);

}  // namespace hessian
