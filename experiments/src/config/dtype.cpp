#include "config/dtype.h"

#include <array>
#include <stdexcept>
#include <utility>

namespace hessian::experiments {
namespace {

constexpr std::array<std::pair<c10::ScalarType, const char*>, 3> names = {{{c10::ScalarType::Float, "float32"},
                                                                           {c10::ScalarType::Double, "float64"},
                                                                           {c10::ScalarType::BFloat16, "bfloat16"}}};

}  // namespace

std::string dtype_name(c10::ScalarType dtype) {
  for (const auto& [type, name] : names) {
    if (type == dtype) {
      return name;
    }
  }
  throw std::invalid_argument("the precision is none of float32, float64, bfloat16");
}

c10::ScalarType parse_dtype(const std::string& word) {
  for (const auto& [type, name] : names) {
    if (word == name) {
      return type;
    }
  }
  throw std::invalid_argument("'" + word + "' is not a precision; use float32, float64 or bfloat16");
}

}  // namespace hessian::experiments
