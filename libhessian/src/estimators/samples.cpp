#include "estimators/samples.h"

#include <stdexcept>
#include <string>

namespace hessian {

void check_sample_arguments(const LinearOperator& op, int64_t samples, const ProblemSeeds& seeds) {
  check_problems(op, seeds, "an estimate");
  if (samples < 2) {
    throw std::invalid_argument("the number of samples is " + std::to_string(samples) + "; it must be at least 2");
  }
}

at::Tensor finite_products(const LinearOperator& op, const at::Tensor& v) {
  at::Tensor products = op.apply(v.unsqueeze(1)).squeeze(1);
  const at::Tensor finite = products.isfinite().all(1).to(at::kCPU);
  for (int64_t problem = 0; problem < op.problems(); ++problem) {
    if (!finite[problem].item<bool>()) {
      throw std::runtime_error("the operator's product with a vector of problem " + std::to_string(problem) +
                               " is not finite");
    }
  }
  return products;
}

at::Tensor sample_signs(const LinearOperator& op, const ProblemSeeds& seeds, int64_t sample) {
  return random_signs(op, seeds, static_cast<uint64_t>(sample) + 1);
}

at::Tensor dots(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/false, at::kDouble).to(at::kCPU);
}

Samples sample_products(const LinearOperator& op, const SampleOptions& options) {
  Samples samples{at::empty({op.problems(), options.samples}, at::kDouble),
                  at::empty({op.problems(), options.samples}, at::kDouble)};
  for (int64_t sample = 0; sample < options.samples; ++sample) {
    const at::Tensor z = sample_signs(op, options.seeds(), sample);
    const at::Tensor product = finite_products(op, z);
    samples.quadratic.select(1, sample).copy_(dots(z, product));
    samples.squared_norm.select(1, sample).copy_(dots(product, product));
  }
  return samples;
}

}  // namespace hessian
