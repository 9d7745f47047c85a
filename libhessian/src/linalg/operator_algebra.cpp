#include "hessian/operator_algebra.h"

#include <stdexcept>
#include <utility>

namespace hessian {
namespace {

/// Base of operators with the size, precision and device of another.
class DerivedOperator : public LinearOperator {
 public:
  explicit DerivedOperator(OperatorPtr op) : op_(std::move(op)) {}
  int64_t problems() const override { return op_->problems(); }
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
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    return inner().apply(v, problems) * factor_;
  }
  double factor_;
};

class SumOperator final : public DerivedOperator {
 public:
  SumOperator(OperatorPtr a, OperatorPtr b) : DerivedOperator(std::move(a)), other_(std::move(b)) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    return inner().apply(v, problems) + other_->apply(v, problems);
  }
  OperatorPtr other_;
};

class ShiftedOperator final : public DerivedOperator {
 public:
  ShiftedOperator(OperatorPtr op, const at::Tensor& shifts)
      : DerivedOperator(std::move(op)), shifts_(shifts.to(vector_options()).view({-1, 1, 1})) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    return inner().apply(v, problems) - rows_of(shifts_, problems) * v;
  }
  at::Tensor shifts_;
};

class RescaledOperator final : public DerivedOperator {
 public:
  RescaledOperator(OperatorPtr op, const at::Tensor& scale)
      : DerivedOperator(std::move(op)), scale_(scale.to(vector_options()).view({problems(), 1, dim()})) {}

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    const at::Tensor scale = rows_of(scale_, problems);
    return inner().apply(scale * v, problems) * scale;
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
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override {
    const at::Tensor u = rows_of(vectors_, problems);
    const at::Tensor coefficients = at::matmul(v, u.transpose(1, 2)) * rows_of(values_, problems);
    return inner().apply(v, problems) - at::matmul(coefficients, u);
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
  if (a->problems() != b->problems() || a->dim() != b->dim() || x.dtype() != y.dtype() || x.device() != y.device()) {
    throw std::invalid_argument("only operators of equal problems, size, precision and device can be added");
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
