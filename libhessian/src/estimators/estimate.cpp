#include "hessian/estimate.h"

#include <cmath>

namespace hessian {

Estimate mean_of_samples(const at::Tensor& samples) {
  const auto count = static_cast<double>(samples.size(1));
  return {samples.mean(1), samples.std(1, /*unbiased=*/true) / std::sqrt(count)};
}

}  // namespace hessian
