#pragma once

#include <ATen/ATen.h>

#include "probe/probe.h"

namespace hessian::experiments {

/// Accumulates the scales of an activation in float64, from tensors [..., width].
class ActivationScaleSum {
 public:
  void add(const at::Tensor& activation);

  /// Returns the scales of everything that was added.
  ActivationScale scale() const;

 private:
  at::Tensor feature_squares_;  // [width]
  double abs_sum_ = 0;
  double abs_max_ = 0;
  int64_t rows_ = 0;
};

}  // namespace hessian::experiments
