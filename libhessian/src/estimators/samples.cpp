#include "estimators/samples.h"

#include <limits>
#include <stdexcept>
#include <string>

namespace hessian {

void check_sample_arguments(const LinearOperator& op, int64_t samples, const ProblemSeeds& seeds) {
  check_problems(op, seeds, "an estimate");
  if (samples < 2) {
    throw std::invalid_argument("the number of samples is " + std::to_string(samples) + "; it must be at least 2");
  }
}

at::Tensor FiniteProducts::operator()(const at::Tensor& v) {
  const double unknown = std::numeric_limits<double>::quiet_NaN();
  if (finite_.empty()) {
    return at::full_like(v, unknown);
  }
  const bool whole = static_cast<int64_t>(finite_.size()) == op_.problems();
  at::Tensor products = op_.apply((whole ? v : rows_of(v, finite_)).unsqueeze(1), finite_).squeeze(1);
  const at::Tensor is_finite = products.isfinite().all(1).to(at::kCPU);
  if (whole && is_finite.all().item<bool>()) {
    return products;
  }
  at::Tensor all = at::full_like(v, unknown);
  ProblemIndices remaining;
  for (std::size_t i = 0; i < finite_.size(); ++i) {
    const auto row = static_cast<int64_t>(i);
    if (is_finite[row].item<bool>()) {
      all[finite_[i]].copy_(products[row]);
      remaining.push_back(finite_[i]);
    }
  }
  finite_ = remaining;
  return all;
}

at::Tensor sample_signs(const LinearOperator& op, const ProblemSeeds& seeds, int64_t sample) {
  return random_signs(op, seeds, static_cast<uint64_t>(sample) + 1);
}

at::Tensor dots(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(-1, /*keepdim=*/false, at::kDouble).to(at::kCPU);
}

}  // namespace hessian
