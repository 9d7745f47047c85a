#include "hessian/eigenvalues.h"

namespace hessian {

at::Tensor ExtremalEigenvalues::spectral_norm() const {
  return at::fmax(lambda_max.abs(), lambda_min.abs());
}

at::Tensor ExtremalEigenvalues::residual_norm() const {
  return at::fmax(residual_max, residual_min);
}

at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values) {
  // One vector per product, and one problem at a time in float64: memory plans for large problems allow no more.
  at::Tensor residuals = at::empty(values.sizes(), at::kDouble);
  for (int64_t i = 0; i < vectors.size(1); ++i) {
    const at::Tensor products = op.apply(vectors.narrow(1, i, 1));
    for (int64_t problem = 0; problem < vectors.size(0); ++problem) {
      const at::Tensor expected = vectors[problem][i].to(at::kDouble) * values[problem][i].item<double>();
      residuals[problem][i] = (products[problem][0].to(at::kDouble) - expected).norm().item<double>();
    }
  }
  return residuals;
}

}  // namespace hessian
