#include "hessian/operator_algebra.h"

#include <stdexcept>
#include <utility>

namespace hessian {
namespace {

/// An operator of the size, precision and device of another.
class DerivedOperator : public LinearOperator {
 public:
  explicit DerivedOperator(OperatorPtr op) : op_(std::move(op)) {}
  int64_t blocks() const override { return op_->blocks(); }
  int64_t dim() const override { return op_->dim(); }
  at::TensorOptions vector_options() const override { return op_->vector_options(); }

 protected:
  const LinearOperator& inner() const { return *op_; }

 private:
  OperatorPtr op_;
};

class ScaledOperator final : public DerivedOperator {
 public:
  ScaledOperator(OperatorPtr op, double factor) : DerivedOperator(std::move(op)), factor_(factor) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override {
    return inner().apply(v, blocks) * factor_;
  }
  double factor_;
};

class SumOperator final : public DerivedOperator {
 public:
  SumOperator(OperatorPtr a, OperatorPtr b) : DerivedOperator(std::move(a)), other_(std::move(b)) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override {
    return inner().apply(v, blocks) + other_->apply(v, blocks);
  }
  OperatorPtr other_;
};

class ShiftedOperator final : public DerivedOperator {
 public:
  ShiftedOperator(OperatorPtr op, const at::Tensor& shifts)
      : DerivedOperator(std::move(op)), shifts_(shifts.to(vector_options()).view({-1, 1, 1})) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override {
    return inner().apply(v, blocks) - rows_of(shifts_, blocks) * v;
  }
  at::Tensor shifts_;
};

class RescaledOperator final : public DerivedOperator {
 public:
  RescaledOperator(OperatorPtr op, const at::Tensor& scale)
      : DerivedOperator(std::move(op)), scale_(scale.to(vector_options()).view({blocks(), 1, dim()})) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override {
    const at::Tensor scale = rows_of(scale_, blocks);
    return inner().apply(scale * v, blocks) * scale;
  }
  at::Tensor scale_;
};

class DeflatedOperator final : public DerivedOperator {
 public:
  DeflatedOperator(OperatorPtr op, const at::Tensor& vectors, const at::Tensor& values)
      : DerivedOperator(std::move(op)),
        vectors_(vectors.to(vector_options())),
        values_(values.to(vector_options()).unsqueeze(1)) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const BlockIndices& blocks) const override {
    const at::Tensor u = rows_of(vectors_, blocks);
    const at::Tensor coefficients = at::matmul(v, u.transpose(1, 2)) * rows_of(values_, blocks);
    return inner().apply(v, blocks) - at::matmul(coefficients, u);
  }
  at::Tensor vectors_;
  at::Tensor values_;
};

}  // namespace

OperatorPtr scaled(OperatorPtr op, double factor) {
  return std::make_shared<ScaledOperator>(std::move(op), factor);
}

OperatorPtr sum(OperatorPtr a, OperatorPtr b) {
  const at::TensorOptions x = a->vector_options();
  const at::TensorOptions y = b->vector_options();
  if (a->blocks() != b->blocks() || a->dim() != b->dim() || x.dtype() != y.dtype() || x.device() != y.device()) {
    throw std::invalid_argument("only operators of equal blocks, size, precision and device can be added");
  }
  return std::make_shared<SumOperator>(std::move(a), std::move(b));
}

OperatorPtr shifted(OperatorPtr op, const at::Tensor& shifts) {
  return std::make_shared<ShiftedOperator>(std::move(op), shifts);
}

OperatorPtr rescaled(OperatorPtr op, const at::Tensor& scale) {
  return std::make_shared<RescaledOperator>(std::move(op), scale);
}

OperatorPtr deflated(OperatorPtr op, const at::Tensor& vectors, const at::Tensor& values) {
  return std::make_shared<DeflatedOperator>(std::move(op), vectors, values);
}

OperatorPtr borrow(const LinearOperator& op) {
  return {OperatorPtr{}, &op};
}

}  // namespace hessian
