#include "hessian/diagonal.h"

namespace hessian {

Estimate estimate_diagonal(const LinearOperator& op, const SampleOptions& options) {
  return hutchinson_samples(op, options, /*with_diagonal=*/true).diagonal;
}

}  // namespace hessian
