#pragma once

#include <cstdint>
#include <optional>

#include "pickle/pickle.h"

namespace hessian::models {

// Read a number as a plain one: Python's own, or a numpy scalar, which a pickle holds as a call of
// `numpy.core.multiarray.scalar` (`numpy._core` since numpy 2) with its dtype and its bytes. Nothing is called.

/// Returns an integer; also a real number without a fraction. Nothing for other values, booleans included.
std::optional<std::int64_t> as_integer(const Pickle& pickle, Pickle::NodeId id);

/// Returns a real number or an integer. Nothing for other values.
std::optional<double> as_real(const Pickle& pickle, Pickle::NodeId id);

/// Returns True or False. Nothing for other values.
std::optional<bool> as_boolean(const Pickle& pickle, Pickle::NodeId id);

/// Returns a real number as an integer, if it is one that a double holds exactly.
std::optional<std::int64_t> exact_integer(double value);

}  // namespace hessian::models
