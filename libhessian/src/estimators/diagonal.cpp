#include "hessian/diagonal.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "estimators/samples.h"

namespace hessian {

Estimate estimate_diagonal(const LinearOperator& op, const SampleOptions& options) {
  check_sample_arguments(op, options.samples, options.seeds());
  const c10::NoGradGuard no_grad;
  const auto wide = op.vector_options().dtype(at::kDouble);
  at::Tensor mean = at::zeros({op.problems(), op.dim()}, wide);
  at::Tensor squares = at::zeros({op.problems(), op.dim()}, wide);
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    const at::Tensor z = sample_signs(op, options.seeds(), sample);
    const at::Tensor entries = (z * finite_products(op, z)).to(at::kDouble);
    // Accumulates squares about the running mean (Welford 1962): storing all samples would take too much memory.
    const at::Tensor before = entries - mean;
    mean.add_(before, 1.0 / static_cast<double>(sample + 1));
    squares.addcmul_(before, entries - mean);
  }
  const auto count = static_cast<double>(options.samples);
  return {mean.to(at::kCPU), (squares / (count * (count - 1))).sqrt().to(at::kCPU)};
}

}  // namespace hessian
