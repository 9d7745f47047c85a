#pragma once

#include <string>
#include <vector>

#include "hessian/parameters.h"

namespace hessian {

/// Returns the names of the parameters that match at least one pattern, in the order of the parameters, each once.
///
/// In a pattern, `*` matches any sequence of characters, including dots and the empty sequence, and `?` matches any one
/// character; every other character matches itself: `layers.*.attention.*`, `layers.?.ffn_norm.weight`.
///
/// \throws std::invalid_argument  if there are no patterns, or if a pattern matches nothing; the message names some
///                                parameters
/// Cost: proportional to patterns * parameters * length of the names, for each `*` of a pattern.
std::vector<std::string> select_parameters(const Parameters& parameters, const std::vector<std::string>& patterns);

/// Returns the parameters of these names, in the order of the names.
/// \throws std::out_of_range      if one is missing
/// \throws std::invalid_argument  if one is named twice
Parameters parameters_named(const Parameters& parameters, const std::vector<std::string>& names);

}  // namespace hessian
