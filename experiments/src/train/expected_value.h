#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>

namespace hessian::experiments {

/// Checks a value of a configuration.
/// \throws std::invalid_argument  "KEY is VALUE, expected EXPECTATION", unless the condition holds
template <class T>
void expect_value(bool condition, const std::string& key, const T& value, const std::string& expectation) {
  if (!condition) {
    throw std::invalid_argument(fmt::format("{} is {}, expected {}", key, value, expectation));
  }
}

}  // namespace hessian::experiments
