#include "hessian/restricted_operator.h"

#include <stdexcept>
#include <utility>

namespace hessian {

RestrictedOperator::RestrictedOperator(OperatorPtr op, std::vector<int64_t> starts, int64_t length)
    : op_(std::move(op)), starts_(std::move(starts)), length_(length) {
  if (static_cast<int64_t>(starts_.size()) != op_->problems()) {
    throw std::invalid_argument("a restriction needs one range for each of the operator's " +
                                std::to_string(op_->problems()) + " problems, not " + std::to_string(starts_.size()));
  }
  for (const int64_t start : starts_) {
    if (start < 0 || length < 1 || start + length > op_->dim()) {
      throw std::invalid_argument("coordinates " + std::to_string(start) + " to " + std::to_string(start + length) +
                                  " are not within a problem of size " + std::to_string(op_->dim()));
    }
  }
}

at::Tensor RestrictedOperator::do_apply(const at::Tensor& v, const ProblemIndices& problems) const {
  at::Tensor padded = at::zeros({v.size(0), v.size(1), op_->dim()}, v.options());
  for (int64_t i = 0; i < v.size(0); ++i) {
    padded[i].narrow(1, starts_[static_cast<std::size_t>(problems[static_cast<std::size_t>(i)])], length_).copy_(v[i]);
  }
  const at::Tensor product = op_->apply(padded, problems);
  at::Tensor result = at::empty_like(v, at::MemoryFormat::Contiguous);
  for (int64_t i = 0; i < v.size(0); ++i) {
    const int64_t start = starts_[static_cast<std::size_t>(problems[static_cast<std::size_t>(i)])];
    result[i].copy_(product[i].narrow(1, start, length_));
  }
  return result;
}

}  // namespace hessian
