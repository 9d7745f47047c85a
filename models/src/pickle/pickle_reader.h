#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "pickle/pickle.h"

namespace hessian::models {

/// Runs the opcodes of a pickle; see Pickle::parse.
Pickle read_pickle(std::span<const std::byte> bytes, const std::string& source);

}  // namespace hessian::models
