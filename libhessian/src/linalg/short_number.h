#pragma once

#include <iomanip>
#include <sstream>
#include <string>

namespace hessian {

/// Formats a number for a message, with three significant digits: "0.01", "1e-05", "nan".
inline std::string short_number(double number) {
  std::ostringstream text;
  text << std::setprecision(3) << number;
  return text.str();
}

}  // namespace hessian
