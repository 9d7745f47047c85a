#include "hessian/dense_operator.h"

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <utility>
#include <vector>

namespace hessian {

DenseOperator::DenseOperator(at::Tensor matrices) : matrices_(std::move(matrices)) {
  if (matrices_.dim() != 3 || matrices_.size(1) != matrices_.size(2)) {
    std::ostringstream message;
    message << "matrices are " << matrices_.sizes() << ", expected [S, n, n]";
    throw std::invalid_argument(message.str());
  }
}

at::Tensor DenseOperator::do_apply(const at::Tensor& v, const ProblemIndices& problems) const {
  return at::matmul(v, rows_of(matrices_, problems).transpose(1, 2));
}

at::Tensor to_dense(const LinearOperator& op, int64_t columns_at_once) {
  const at::Tensor identity = at::eye(op.dim(), op.vector_options());
  std::vector<at::Tensor> rows;
  for (int64_t first = 0; first < op.dim(); first += columns_at_once) {
    const int64_t count = std::min(columns_at_once, op.dim() - first);
    rows.push_back(op.apply(identity.narrow(0, first, count).expand({op.problems(), count, op.dim()})));
  }
  // The product with the i-th unit vector is column i of the matrix.
  return at::cat(rows, 1).transpose(1, 2).contiguous();
}

}  // namespace hessian
