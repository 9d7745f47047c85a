#include <gtest/gtest.h>

#include <cmath>

#include "probe/activation_scale.h"

namespace hessian::tests {
namespace {

using experiments::ActivationScale;
using experiments::ActivationScaleSum;

TEST(ActivationScale, OfBatchesAddedInTurnIsThatOfAll) {
  at::manual_seed(7);
  const at::Tensor x = at::randn({5, 6, 8}, at::kDouble) * at::arange(1, 9, at::kDouble);
  ActivationScaleSum sum;
  sum.add(x.narrow(0, 0, 2));
  sum.add(x.narrow(0, 2, 3));
  const ActivationScale scale = sum.scale();
  // 240 float64 terms: sums agree to a few units in the last place.
  EXPECT_NEAR(scale.rms, x.square().mean().sqrt().item<double>(), 1e-12);
  EXPECT_NEAR(scale.abs_mean, x.abs().mean().item<double>(), 1e-12);
  EXPECT_EQ(scale.abs_max, x.abs().max().item<double>());
  const double largest_feature = x.flatten(0, 1).square().mean(0).sqrt().max().item<double>();
  EXPECT_NEAR(scale.feature_outlier, largest_feature / scale.rms, 1e-12);
}

TEST(ActivationScale, FindsNoOutlierIfAllFeaturesAreAlike) {
  ActivationScaleSum sum;
  sum.add(at::full({3, 4, 10}, -2.0, at::kDouble));
  EXPECT_DOUBLE_EQ(sum.scale().feature_outlier, 1.0);
  EXPECT_DOUBLE_EQ(sum.scale().rms, 2.0);
}

TEST(ActivationScale, OutlierIsTheRootOfTheWidthIfOneFeatureHoldsEverything) {
  at::Tensor x = at::zeros({1, 3, 16}, at::kDouble);
  x.select(-1, 5).fill_(3.0);
  ActivationScaleSum sum;
  sum.add(x);
  EXPECT_NEAR(sum.scale().feature_outlier, std::sqrt(16.0), 1e-12);
}

TEST(ActivationScale, OfZerosIsZeroWithoutOutliers) {
  ActivationScaleSum sum;
  sum.add(at::zeros({2, 2, 3}));
  EXPECT_EQ(sum.scale().rms, 0.0);
  EXPECT_EQ(sum.scale().feature_outlier, 1.0);
}

TEST(ActivationScale, SumsBfloat16InFloat64) {
  // In bfloat16, a sum of 65,536 squares of 1 would stop at 256.
  ActivationScaleSum sum;
  sum.add(at::ones({256, 256}, at::kBFloat16));
  EXPECT_DOUBLE_EQ(sum.scale().rms, 1.0);
  EXPECT_DOUBLE_EQ(sum.scale().abs_mean, 1.0);
}

}  // namespace
}  // namespace hessian::tests
