#include "hessian/eigenvalues.h"

#include <ATen/CPUGeneratorImpl.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace hessian {

at::Tensor ExtremalEigenvalues::spectral_norm() const {
  return at::maximum(lambda_max.abs(), lambda_min.abs());
}

at::Tensor ExtremalEigenvalues::residual_norm() const {
  return at::maximum(residual_max, residual_min);
}

at::Tensor start_vectors(const LinearOperator& op, const EigensolverOptions& options) {
  std::vector<at::Tensor> rows;
  for (int64_t i = 0; i < op.blocks(); ++i) {
    const auto block = static_cast<uint64_t>(options.first_block + i);
    // The golden-ratio multiplier keeps neighbouring seeds and blocks apart (Knuth, The Art of Computer
    // Programming, 6.4).
    const uint64_t block_seed = ((options.seed + 1) * 0x9E3779B97F4A7C15ULL) ^ (block << 20U);
    auto generator = at::detail::createCPUGenerator(block_seed);
    const at::Tensor row = at::randn({op.dim()}, generator, at::dtype(at::kDouble));
    rows.push_back(row / row.norm());
  }
  return at::stack(rows).to(op.vector_options());
}

at::Tensor residual_norms(const LinearOperator& op, const at::Tensor& vectors, const at::Tensor& values) {
  const at::Tensor products = op.apply(vectors).to(at::kDouble);
  const at::Tensor expected = vectors.to(at::kDouble) * values.unsqueeze(-1).to(vectors.device());
  return (products - expected).norm(2, -1).cpu();
}

void verify_residuals(const LinearOperator& op, double tolerance, ExtremalEigenvalues& result) {
  const at::Tensor residuals = residual_norms(op, at::stack({result.vector_max, result.vector_min}, 1),
                                              at::stack({result.lambda_max, result.lambda_min}, 1));
  result.residual_max = residuals.select(1, 0).contiguous();
  result.residual_min = residuals.select(1, 1).contiguous();
  result.converged = result.residual_norm() <= result.spectral_norm() * tolerance;
}

void check_eigensolver_arguments(const LinearOperator& op, const EigensolverOptions& options) {
  if (op.dim() < 1 || op.blocks() < 1) {
    throw std::invalid_argument("the operator has " + std::to_string(op.blocks()) + " blocks of size " +
                                std::to_string(op.dim()) + "; an eigensolver needs one at least of each");
  }
  if (!(options.tolerance > 0)) {
    throw std::invalid_argument("the tolerance is " + std::to_string(options.tolerance) + "; it must be positive");
  }
  if (options.max_iterations < 1) {
    throw std::invalid_argument("the iteration limit is " + std::to_string(options.max_iterations) +
                                "; it must be positive");
  }
}

}  // namespace hessian
