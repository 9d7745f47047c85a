#include "linalg/orthogonalise.h"

#include <limits>

namespace hessian {

Orthogonalised orthogonalise(const at::Tensor& basis, const at::Tensor& w) {
  const at::Tensor columns = w.transpose(1, 2);
  const at::Tensor coefficients = at::bmm(basis, columns);
  const at::Tensor once = columns - at::bmm(basis.transpose(1, 2), coefficients);
  const at::Tensor correction = at::bmm(basis, once);
  return {(once - at::bmm(basis.transpose(1, 2), correction)).transpose(1, 2),
          (coefficients + correction).transpose(1, 2)};
}

double rounding_level(const at::TensorOptions& options) {
  return 10 * (options.dtype() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                              : static_cast<double>(std::numeric_limits<float>::epsilon()));
}

}  // namespace hessian
