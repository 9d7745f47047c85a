#include "hessian/inverse_operator.h"

#include <stdexcept>
#include <string>
#include <utility>

#include "linalg/short_number.h"

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
    if (!b.isfinite().all().item<bool>()) {
      throw std::invalid_argument("a right-hand side of the inverse is not finite");
    }
    const at::Tensor enough = dot(b, b) * (options_.tolerance * options_.tolerance);
    at::Tensor x = at::zeros_like(b);
    at::Tensor residual = b;
    at::Tensor squares = 4 * dot(b, b);  // the first round may leave a residual as large as b
    int64_t products_left = options_.max_iterations;
    // The residual of the recurrence drifts away from the true one. If that is still too large, the iteration starts again
    // from the solution so far, as long as each round at least halves it: below that, rounding errors dominate.
    while (true) {
      x = x + correction(residual, enough, problems, products_left);
      residual = b - damped_product(x, problems);
      const at::Tensor true_squares = dot(residual, residual);
      const at::Tensor open = (true_squares <= enough).logical_not();
      if (!open.any().item<bool>()) {
        return x;
      }
      if (!(true_squares <= squares / 4).masked_select(open).all().item<bool>()) {
        const double largest = (true_squares / dot(b, b)).masked_select(open).max().sqrt().item<double>();
        throw std::runtime_error("rounding errors leave conjugate gradients with a relative residual of " +
                                 short_number(largest) + ", above the tolerance of " +
                                 short_number(options_.tolerance) + "; increase the tolerance or the damping");
      }
      squares = true_squares;
    }
  }

  /// Returns x with a small residual of (H + lambda I) x = b, according to the recurrence.
  /// \param enough         squared residual norm of a solved system
  /// \param products_left  reduced by the products used
  at::Tensor correction(const at::Tensor& b, const at::Tensor& enough, const ProblemIndices& problems,
                        int64_t& products_left) const {
    at::Tensor x = at::zeros_like(b);
    at::Tensor residual = b.clone();
    at::Tensor direction = b.clone();
    at::Tensor squares = dot(residual, residual);
    for (; products_left > 0; --products_left) {
      const at::Tensor open = squares > enough;
      if (!open.any().item<bool>()) {
        return x;
      }
      const at::Tensor image = damped_product(direction, problems);
      const at::Tensor curvature = dot(direction, image);
      if (!image.isfinite().all().item<bool>()) {
        throw std::runtime_error("a product of the matrix to be inverted is not finite");
      }
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
    if (!(squares <= enough).all().item<bool>()) {
      throw std::runtime_error("conjugate gradients did not reach a relative residual of " +
                               short_number(options_.tolerance) + " in " + std::to_string(options_.max_iterations) +
                               " products; allow more, or increase the tolerance or the damping");
    }
    return x;
  }

  /// Returns (H + lambda I) v.
  at::Tensor damped_product(const at::Tensor& v, const ProblemIndices& problems) const {
    return op_->apply(v, problems) + options_.damping * v;
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
