#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

#include "hessian/estimate.h"

namespace hessian::support {

/// Collects the errors of estimates of known numbers, in units of their own standard errors, over many draws of the samples.
class ZScores {
 public:
  void add(const hessian::Estimate& estimate, const at::Tensor& exact) {
    scores_.push_back(((estimate.value - exact) / estimate.standard_error).reshape({-1}));
  }

  /// Expects the mean square of Student's t distribution with `samples` - 1 degrees of freedom, (P-1) / (P-3), and a
  /// mean of zero, both within `tolerance`.
  void expect_honest(int64_t samples, double tolerance) const {
    const at::Tensor scores = at::cat(scores_);
    ASSERT_TRUE(scores.isfinite().all().item<bool>());
    const double expected = static_cast<double>(samples - 1) / static_cast<double>(samples - 3);
    EXPECT_NEAR(scores.square().mean().item<double>(), expected, tolerance) << "standard errors are off";
    EXPECT_NEAR(scores.mean().item<double>(), 0.0, tolerance) << "the estimates are biased";
  }

 private:
  std::vector<at::Tensor> scores_;
};

}  // namespace hessian::support
