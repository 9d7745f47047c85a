#pragma once

#include <ATen/ATen.h>

#include "probe/probe.h"

namespace hessian::experiments {

/// Gathers the scales of an activation from its parts, [.., width] each, in float64.
class ActivationScaleSum {
 public:
  void add(const at::Tensor& activation);

  /// The scales of everything added.
  ActivationScale scale() const;

 private:
  at::Tensor feature_squares_;  // [width]
  double abs_sum_ = 0;
  double abs_max_ = 0;
  int64_t rows_ = 0;
};

}  // namespace hessian::experiments
