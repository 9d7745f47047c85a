#include "program/number_text.h"

#include <fmt/format.h>

#include <cmath>

namespace hessian::experiments {

std::string number_text(double value, const char* format, const char* otherwise) {
  return std::isfinite(value) ? fmt::format(fmt::runtime(format), value) : otherwise;
}

}  // namespace hessian::experiments
