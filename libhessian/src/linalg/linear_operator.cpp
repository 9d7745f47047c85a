#include "hessian/linear_operator.h"

#include <numeric>
#include <sstream>
#include <stdexcept>

namespace hessian {

BlockIndices all_blocks(int64_t count) {
  BlockIndices blocks(static_cast<std::size_t>(count));
  std::iota(blocks.begin(), blocks.end(), 0);
  return blocks;
}

at::Tensor rows_of(const at::Tensor& all, const BlockIndices& blocks) {
  return all.index_select(0, at::tensor(blocks, at::device(all.device()).dtype(at::kLong)));
}

at::Tensor LinearOperator::apply(const at::Tensor& v) const {
  return apply(v, all_blocks(blocks()));
}

at::Tensor LinearOperator::apply(const at::Tensor& v, const BlockIndices& blocks) const {
  const auto count = static_cast<int64_t>(blocks.size());
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
  for (const int64_t block : blocks) {
    if (block < 0 || block >= this->blocks()) {
      throw std::invalid_argument("block " + std::to_string(block) + " is not among the operator's " +
                                  std::to_string(this->blocks()));
    }
  }
  return do_apply(v, blocks);
}

}  // namespace hessian
