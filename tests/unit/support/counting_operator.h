#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <utility>

#include "hessian/dense_operator.h"

namespace hessian::support {

/// The products that operators have computed, all problems together.
struct Count {
  int64_t products = 0;
  int64_t first_width = 0;  ///< number of vectors per matrix in the first call
};

/// Counts the products with matrices.
class CountingOperator final : public LinearOperator {
 public:
  CountingOperator(at::Tensor matrices, Count* count) : op_(std::move(matrices)), count_(count) {}
  int64_t problems() const override { return op_.problems(); }
  int64_t dim() const override { return op_.dim(); }
  at::TensorOptions vector_options() const override { return op_.vector_options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    count_->first_width = count_->products == 0 ? v.size(1) : count_->first_width;
    count_->products += v.size(0) * v.size(1);
    return op_.apply(v, problems);
  }

  DenseOperator op_;
  Count* count_;
};

}  // namespace hessian::support
