#include "hessian/inverse_operator.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace hessian {
namespace {

class InverseOperator final : public LinearOperator {
 public:
  InverseOperator(OperatorPtr op, const InverseOptions& options) : op_(std::move(op)), options_(options) {}
  int64_t problems() const override { return op_->problems(); }
  int64_t dim() const override { return op_->dim(); }
  at::TensorOptions vector_options() const override { return op_->vector_options(); }

 private:
  at::Tensor do_apply(const at::Tensor& b, const ProblemIndices& problems) const override {
    at::Tensor x = at::zeros_like(b);
    at::Tensor residual = b.clone();
    at::Tensor direction = b.clone();
    at::Tensor squares = dot(residual, residual);
    const at::Tensor enough = squares * (options_.tolerance * options_.tolerance);
    for (int64_t i = 0; i < options_.max_iterations; ++i) {
      const at::Tensor open = squares > enough;
      if (!open.any().item<bool>()) {
        return x;
      }
      const at::Tensor image = op_->apply(direction, problems) + options_.damping * direction;
      const at::Tensor curvature = dot(direction, image);
      // The directions of solved systems may be zero.
      if (!(curvature.masked_select(open) > 0).all().item<bool>()) {
        throw std::runtime_error(
            "conjugate gradients met a direction without positive curvature: the matrix is not positive "
            "definite with a damping of " +
            std::to_string(options_.damping) + "; increase it");
      }
      const at::Tensor step = at::where(open, squares / curvature, at::zeros_like(squares));
      x = x + step * direction;
      residual = residual - step * image;
      const at::Tensor next = dot(residual, residual);
      direction = residual + at::where(open, next / squares, at::zeros_like(squares)) * direction;
      squares = next;
    }
    if ((squares > enough).any().item<bool>()) {
      throw std::runtime_error("conjugate gradients did not reach a relative residual of " +
                               std::to_string(options_.tolerance) + " in " + std::to_string(options_.max_iterations) +
                               " products; allow more, or increase the tolerance or the damping");
    }
    return x;
  }

  /// Returns inner products along the last dimension, [S, k, 1].
  static at::Tensor dot(const at::Tensor& a, const at::Tensor& b) { return (a * b).sum(-1, true); }

  OperatorPtr op_;
  InverseOptions options_;
};

}  // namespace

OperatorPtr inverse(OperatorPtr op, const InverseOptions& options) {
  if (!(options.damping >= 0) || !(options.tolerance > 0) || options.max_iterations < 1) {
    throw std::invalid_argument(
        "an inverse needs a damping of at least 0, a positive tolerance and at least one iteration");
  }
  return std::make_shared<InverseOperator>(std::move(op), options);
}

}  // namespace hessian
