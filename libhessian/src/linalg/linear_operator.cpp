#include "hessian/linear_operator.h"

#include <numeric>
#include <sstream>
#include <stdexcept>

namespace hessian {

ProblemIndices all_problems(int64_t count) {
  ProblemIndices problems(static_cast<std::size_t>(count));
  std::iota(problems.begin(), problems.end(), 0);
  return problems;
}

at::Tensor rows_of(const at::Tensor& all, const ProblemIndices& problems) {
  return all.index_select(0, at::tensor(problems, at::device(all.device()).dtype(at::kLong)));
}

at::Tensor LinearOperator::apply(const at::Tensor& v) const {
  return apply(v, all_problems(problems()));
}

at::Tensor LinearOperator::apply(const at::Tensor& v, const ProblemIndices& problems) const {
  const auto count = static_cast<int64_t>(problems.size());
  if (v.dim() != 3 || v.size(0) != count || v.size(2) != dim()) {
    std::ostringstream message;
    message << "vectors are " << v.sizes() << ", expected [" << count << ", k, " << dim() << "]";
    throw std::invalid_argument(message.str());
  }
  const at::TensorOptions wanted = vector_options();
  if (v.scalar_type() != c10::typeMetaToScalarType(wanted.dtype()) || v.device() != wanted.device()) {
    std::ostringstream message;
    message << "vectors are " << v.scalar_type() << " on " << v.device() << ", expected " << wanted.dtype() << " on "
            << wanted.device();
    throw std::invalid_argument(message.str());
  }
  for (const int64_t problem : problems) {
    if (problem < 0 || problem >= this->problems()) {
      throw std::invalid_argument("problem " + std::to_string(problem) + " is not among the operator's " +
                                  std::to_string(this->problems()));
    }
  }
  return do_apply(v, problems);
}

}  // namespace hessian
