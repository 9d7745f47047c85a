#include "hessian/norms.h"

#include <c10/core/GradMode.h>

#include "estimators/samples.h"

namespace hessian {

Estimate frobenius_norm(const LinearOperator& op, const SampleOptions& options) {
  check_sample_arguments(op, options.samples, options.seeds());
  const c10::NoGradGuard no_grad;
  const Estimate square = mean_of_samples(sample_products(op, options).squared_norm);
  const at::Tensor norm = square.value.sqrt();
  // d sqrt(x) = dx / (2 sqrt(x)). The error of the zero operator is zero.
  return {norm, at::where(norm > 0, square.standard_error / (2 * norm), at::zeros_like(norm))};
}

Estimate participation_ratio(const LinearOperator& op, const SampleOptions& options) {
  check_sample_arguments(op, options.samples, options.seeds());
  const c10::NoGradGuard no_grad;
  const Samples samples = sample_products(op, options);
  const at::Tensor trace = samples.quadratic.mean(1, /*keepdim=*/true);
  const at::Tensor square = samples.squared_norm.mean(1, /*keepdim=*/true);
  // Influence of each sample on the ratio to first order: d (t^2 / f) = (2 t / f) dt - (t / f)^2 df.
  const at::Tensor slope = trace / square;
  const at::Tensor influence = 2 * slope * samples.quadratic - slope.square() * samples.squared_norm;
  return {(trace * slope).squeeze(1), mean_of_samples(influence).standard_error};
}

}  // namespace hessian
