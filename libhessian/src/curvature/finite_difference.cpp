#include "hessian/finite_difference.h"

#include <cmath>
#include <limits>
#include <sstream>
#include <stdexcept>

namespace hessian {

at::Tensor central_difference_product(const ProblemFunction& f, const at::Tensor& x, const at::Tensor& v) {
  const at::Tensor flat = x.reshape({x.size(0), -1});
  if (v.sizes() != flat.sizes()) {
    std::ostringstream message;
    message << "directions are " << v.sizes() << ", expected " << flat.sizes();
    throw std::invalid_argument(message.str());
  }
  const double unit = x.scalar_type() == at::kDouble ? std::numeric_limits<double>::epsilon()
                                                     : static_cast<double>(std::numeric_limits<float>::epsilon());
  const auto norm_or_one = [](const at::Tensor& rows) {
    const at::Tensor norms = rows.norm(2, 1, true);
    return at::where(norms == 0, at::ones_like(norms), norms);
  };
  const at::Tensor steps = std::cbrt(unit) * norm_or_one(flat) / norm_or_one(v);
  const at::Tensor displacement = steps * v;
  const ProblemIndices problems = all_problems(x.size(0));
  const auto gradient_at = [&](const at::Tensor& point) {
    return value_and_gradient(f, point.view(x.sizes()), problems).gradient.reshape(flat.sizes());
  };
  return (gradient_at(flat + displacement) - gradient_at(flat - displacement)) / (2 * steps);
}

at::Tensor relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor x = a.reshape({a.size(0), -1}).to(at::kCPU, at::kDouble);
  const at::Tensor y = b.reshape({b.size(0), -1}).to(at::kCPU, at::kDouble);
  const at::Tensor scale = at::maximum(x.norm(2, 1), y.norm(2, 1));
  return at::where(scale == 0, at::zeros_like(scale), (x - y).norm(2, 1) / scale);  // NaN stays NaN
}

}  // namespace hessian
