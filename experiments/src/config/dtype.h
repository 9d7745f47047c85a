#pragma once

#include <c10/core/ScalarType.h>

#include <string>

namespace hessian::experiments {

/// Returns "float32", "float64" or "bfloat16".
/// \throws std::invalid_argument  for another type
std::string dtype_name(c10::ScalarType dtype);

/// Reads the name of a type.
/// \throws std::invalid_argument  naming the accepted words
c10::ScalarType parse_dtype(const std::string& word);

}  // namespace hessian::experiments
