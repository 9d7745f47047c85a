#include <cstdio>

#include "hessian/hessian_operator.h"
#include "hessian/lanczos.h"

// f(x) = sum_i i x_i^2: the largest eigenvalue of its Hessian is 2 n.
int main() {
  const at::Tensor i = at::arange(1, 11, at::kDouble);
  const hessian::HessianOperator op(
      [i](const at::Tensor& x, const hessian::ProblemIndices&) { return (i * x.square()).sum(1); },
      at::ones({1, 10}, i.options()));
  const double largest = hessian::lanczos(op).lambda_max.item<double>();
  std::printf("lambda_max %.6f\n", largest);
  return largest > 19.99 && largest < 20.01 ? 0 : 1;
}
