#pragma once

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <cstdint>
#include <tuple>
#include <vector>

namespace hessian::support {

/// Returns symmetric matrices with these eigenvalues [..., n] and random eigenvectors, which depend only on the seed.
inline at::Tensor matrices_with(const at::Tensor& eigenvalues, uint64_t seed) {
  std::vector<int64_t> shape = eigenvalues.sizes().vec();
  shape.push_back(eigenvalues.size(-1));
  const at::Tensor q = std::get<0>(at::linalg_qr(at::randn(shape, at::detail::createCPUGenerator(seed), at::kDouble)));
  return at::matmul(q * eigenvalues.unsqueeze(-2), q.transpose(-1, -2));
}

}  // namespace hessian::support
