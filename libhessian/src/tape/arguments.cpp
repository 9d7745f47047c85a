#include "tape/arguments.h"

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>

#include "kernels/rows/run_rows.h"

namespace hessian::tape {

bool ascends(const std::vector<ValueId>& values) {
  return std::adjacent_find(values.begin(), values.end(), std::greater_equal<>()) == values.end();
}

void check_precision(const at::Tensor& x) {
  if (!rows::can_run_on(x)) {
    throw std::invalid_argument("the tape computes in float32 or float64 on a device that it has kernels for, not in " +
                                std::string(c10::toString(x.scalar_type())) + " on " + x.device().str());
  }
}

}  // namespace hessian::tape
