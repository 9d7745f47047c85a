#pragma once

#include <cstdint>

#include "hessian/linear_operator.h"
#include "hessian/parameter_problem.h"

namespace hessian {

/// The Hessian of the mean loss of B sequences with respect to parameters w, by central differences of autograd's gradient:
/// an independent check of ParameterOperator that needs first derivatives only.
///
///   H v = (g(w + e v) - g(w - e v)) / 2e,   e = u^(1/3) ||w|| / ||v||,
///
/// with u the rounding unit of the parameters' precision (2^-52 in float64, 2^-23 in float32). The error is of the order of
/// e^2 times the third derivative plus u ||g|| / e: relative to the product about 1e-7 in float64, 1e-3 to 1e-1 in float32.
///
/// Cost: two gradients per vector. Memory: the graph of one microbatch, and a few vectors of the parameters' size.
/// Source: see central_difference_product().
class ParameterDifferences final : public LinearOperator {
 public:
  /// \param sequences_at_once  sequences per microbatch; 0: all
  /// \throws std::invalid_argument  as check(), or for a negative number
  explicit ParameterDifferences(ParameterProblem problem, int64_t sequences_at_once = 0);

  int64_t problems() const override { return 1; }
  int64_t dim() const override { return point_.size(1); }
  at::TensorOptions vector_options() const override { return point_.options(); }

 private:
  at::Tensor do_apply(const at::Tensor& v, const ProblemIndices& problems) const override;

  ParameterProblem problem_;
  Parameters varying_;
  int64_t sequences_at_once_;
  at::Tensor point_;  // [1, n]
};

}  // namespace hessian
