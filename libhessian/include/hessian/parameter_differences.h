#pragma once

#include <cstdint>

#include "hessian/linear_operator.h"
#include "hessian/parameter_problem.h"

namespace hessian {

/// The Hessian of the mean loss of B sequences with respect to some parameters w by central differences of autograd's
/// gradient: ParameterOperator's twin that needs first derivatives alone, for checks.
///
///   H v = (g(w + e v) - g(w - e v)) / 2e,   e = u^(1/3) ||w|| / ||v||,
///
/// u the rounding unit of the parameters' precision (2^-52 of float64, 2^-23 of float32). The error is of the order of
/// e^2 times the third derivative plus u ||g|| / e: about 1e-7 of the product in float64, and 1e-3 to 1e-1 in float32.
///
/// Cost: two gradients for each vector. Memory: the graph of one microbatch, and some vectors of the parameters' size.
/// Source: see central_difference_product().
class ParameterDifferences final : public LinearOperator {
 public:
  /// \param sequences_at_once  of a microbatch; 0: all
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
