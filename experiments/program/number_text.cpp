#include "program/number_text.h"

#include <fmt/format.h>

#include <cmath>

namespace hessian::experiments {

std::string number_text(double value, const char* format) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : "not finite";
}

}  // namespace hessian::experiments
