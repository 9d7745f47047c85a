#include "estimators/probes.h"

#include <stdexcept>
#include <string>

namespace hessian {

at::Tensor finite_products(const LinearOperator& op, const at::Tensor& v) {
  at::Tensor products = op.apply(v.unsqueeze(1)).squeeze(1);
  const at::Tensor finite = products.isfinite().all(1).to(at::kCPU);
  for (int64_t block = 0; block < op.blocks(); ++block) {
    if (!finite[block].item<bool>()) {
      throw std::runtime_error("the operator's product with a vector of block " + std::to_string(block) +
                               " is not finite");
    }
  }
  return products;
}

at::Tensor probe_signs(const LinearOperator& op, const BlockSeeds& seeds, int64_t probe) {
  return random_signs(op, seeds, static_cast<uint64_t>(probe) + 1);
}

at::Tensor dots(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/false, at::kDouble).to(at::kCPU);
}

ProbeSamples probe_samples(const LinearOperator& op, const ProbeOptions& options) {
  ProbeSamples samples{at::empty({op.blocks(), options.probes}, at::kDouble),
                       at::empty({op.blocks(), options.probes}, at::kDouble)};
  for (int64_t probe = 0; probe < options.probes; ++probe) {
    const at::Tensor z = probe_signs(op, options, probe);
    const at::Tensor product = finite_products(op, z);
    samples.quadratic.select(1, probe).copy_(dots(z, product));
    samples.squared_norm.select(1, probe).copy_(dots(product, product));
  }
  return samples;
}

}  // namespace hessian
