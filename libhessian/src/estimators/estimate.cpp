#include "hessian/estimate.h"

#include <cmath>
#include <stdexcept>
#include <string>

namespace hessian {

Estimate mean_of_samples(const at::Tensor& samples) {
  const auto count = static_cast<double>(samples.size(1));
  return {samples.mean(1), samples.std(1, /*unbiased=*/true) / std::sqrt(count)};
}

void check_sample_arguments(const LinearOperator& op, const SampleOptions& options) {
  check_problems(op, options, "an estimate");
  if (options.samples < 2) {
    throw std::invalid_argument("the number of samples is " + std::to_string(options.samples) +
                                "; it must be 2 at least");
  }
}

}  // namespace hessian
