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
  const auto numbers = options.block_numbers.empty() ? all_blocks(op.blocks()) : options.block_numbers;
  std::vector<at::Tensor> rows;
  for (const int64_t number : numbers) {
    const auto block = static_cast<uint64_t>(number);
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
  // One vector at a time, and float64 for one block at a time: an operator of large blocks was given room for no more.
  at::Tensor residuals = at::empty(values.sizes(), at::kDouble);
  for (int64_t i = 0; i < vectors.size(1); ++i) {
    const at::Tensor products = op.apply(vectors.narrow(1, i, 1));
    for (int64_t block = 0; block < vectors.size(0); ++block) {
      const at::Tensor expected = vectors[block][i].to(at::kDouble) * values[block][i].item<double>();
      residuals[block][i] = (products[block][0].to(at::kDouble) - expected).norm().item<double>();
    }
  }
  return residuals;
}

void verify_residuals(const LinearOperator& op, double tolerance, ExtremalEigenvalues& result) {
  const auto residual_of = [&op](const at::Tensor& vectors, const at::Tensor& values) {
    return residual_norms(op, vectors.unsqueeze(1), values.unsqueeze(1)).squeeze(1);
  };
  result.residual_max = residual_of(result.vector_max, result.lambda_max);
  result.residual_min = residual_of(result.vector_min, result.lambda_min);
  result.converged = result.residual_norm() <= result.spectral_norm() * tolerance;
}

void check_eigensolver_arguments(const LinearOperator& op, const EigensolverOptions& options) {
  if (op.dim() < 1 || op.blocks() < 1) {
    throw std::invalid_argument("the operator has " + std::to_string(op.blocks()) + " blocks of size " +
                                std::to_string(op.dim()) + "; an eigensolver needs one at least of each");
  }
  if (!options.block_numbers.empty() && static_cast<int64_t>(options.block_numbers.size()) != op.blocks()) {
    throw std::invalid_argument("there are " + std::to_string(options.block_numbers.size()) + " block numbers for " +
                                std::to_string(op.blocks()) + " blocks");
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
