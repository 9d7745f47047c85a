#include "hessian/diagonal.h"

#include <c10/core/GradMode.h>

#include <cmath>

#include "estimators/probes.h"

namespace hessian {

Estimate estimate_diagonal(const LinearOperator& op, const ProbeOptions& options) {
  check_probe_arguments(op, options);
  const c10::NoGradGuard no_grad;
  const auto wide = op.vector_options().dtype(at::kDouble);
  at::Tensor mean = at::zeros({op.blocks(), op.dim()}, wide);
  at::Tensor squares = at::zeros({op.blocks(), op.dim()}, wide);
  for (int64_t probe = 0; probe < options.probes; ++probe) {
    const at::Tensor z = probe_signs(op, options, probe);
    const at::Tensor sample = (z * finite_products(op, z)).to(at::kDouble);
    // Sum of squares about the running mean (Welford 1962): all probes at once would not fit.
    const at::Tensor before = sample - mean;
    mean.add_(before, 1.0 / static_cast<double>(probe + 1));
    squares.addcmul_(before, sample - mean);
  }
  const auto count = static_cast<double>(options.probes);
  return {mean.to(at::kCPU), (squares / (count * (count - 1))).sqrt().to(at::kCPU)};
}

}  // namespace hessian
