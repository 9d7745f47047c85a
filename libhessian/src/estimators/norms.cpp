#include "hessian/norms.h"

namespace hessian {

Estimate frobenius_norm(const HutchinsonSamples& samples) {
  const Estimate square = mean_of_samples(samples.squared_norm);
  const at::Tensor norm = square.value.sqrt();
  // d sqrt(x) = dx / (2 sqrt(x)). The error of the zero operator is zero.
  return {norm, at::where(norm == 0, at::zeros_like(norm), square.standard_error / (2 * norm))};
}

Estimate frobenius_norm(const LinearOperator& op, const SampleOptions& options) {
  return frobenius_norm(hutchinson_samples(op, options));
}

Estimate participation_ratio(const HutchinsonSamples& samples) {
  const at::Tensor trace = samples.quadratic.mean(1, /*keepdim=*/true);
  const at::Tensor square = samples.squared_norm.mean(1, /*keepdim=*/true);
  // Influence of each sample on the ratio to first order: d (t^2 / f) = (2 t / f) dt - (t / f)^2 df.
  const at::Tensor slope = trace / square;
  const at::Tensor influence = 2 * slope * samples.quadratic - slope.square() * samples.squared_norm;
  return {(trace * slope).squeeze(1), mean_of_samples(influence).standard_error};
}

Estimate participation_ratio(const LinearOperator& op, const SampleOptions& options) {
  return participation_ratio(hutchinson_samples(op, options));
}

at::Tensor participation_is_determined(const HutchinsonSamples& samples) {
  const Estimate trace = mean_of_samples(samples.quadratic);
  // Also false for a trace that is NaN or zero.
  return (trace.value.abs() >= 2 * trace.standard_error).logical_and(trace.value != 0);
}

}  // namespace hessian
