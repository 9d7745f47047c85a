#include "hessian/eigenvalues.h"

#include <algorithm>
#include <limits>

namespace hessian {

at::Tensor ExtremalEigenvalues::norm_upper() const {
  return at::maximum(lambda_max_upper, -lambda_min_lower);
}

at::Tensor ExtremalEigenvalues::spectral_norm() const {
  return at::fmax(lambda_max.abs(), lambda_min.abs());
}

at::Tensor ExtremalEigenvalues::residual_norm() const {
  // Leaves out an end that was not requested, of which the eigenvalue is NaN as well. Other NaN remain: a residual that is not
  // finite must not hide behind one that is.
  const double none = -std::numeric_limits<double>::infinity();
  const at::Tensor larger = at::maximum(residual_max.masked_fill(lambda_max.isnan(), none),
                                        residual_min.masked_fill(lambda_min.isnan(), none));
  return larger.masked_fill(larger == none, std::numeric_limits<double>::quiet_NaN());
}

at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values,
                          int64_t at_once) {
  at::Tensor residuals = at::empty(values.sizes(), at::kDouble);
  for (int64_t first = 0; first < vectors.size(1); first += at_once) {
    const int64_t count = std::min(at_once, vectors.size(1) - first);
    const at::Tensor products = op.apply(vectors.narrow(1, first, count));
    // One vector at a time in float64: memory plans for large problems allow no more.
    for (int64_t problem = 0; problem < vectors.size(0); ++problem) {
      for (int64_t j = 0; j < count; ++j) {
        const int64_t i = first + j;
        const at::Tensor expected = vectors[problem][i].to(at::kDouble) * values[problem][i].item<double>();
        residuals[problem][i] = (products[problem][j].to(at::kDouble) - expected).norm().item<double>();
      }
    }
  }
  return residuals;
}

}  // namespace hessian
