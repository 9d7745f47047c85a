#include "probe/activation_scale.h"

#include <algorithm>
#include <cmath>

namespace hessian::experiments {

void ActivationScaleSum::add(const at::Tensor& activation) {
  const at::Tensor rows = activation.flatten(0, -2).to(at::kDouble);
  const at::Tensor magnitudes = rows.abs();
  const at::Tensor squares = rows.square().sum(0).cpu();
  feature_squares_ = feature_squares_.defined() ? feature_squares_ + squares : squares;
  abs_sum_ += magnitudes.sum().item<double>();
  abs_max_ = std::max(abs_max_, magnitudes.max().item<double>());
  rows_ += rows.size(0);
}

ActivationScale ActivationScaleSum::scale() const {
  const auto rows = static_cast<double>(rows_);
  const auto width = static_cast<double>(feature_squares_.numel());
  ActivationScale scale;
  scale.rms = std::sqrt(feature_squares_.sum().item<double>() / (rows * width));
  scale.abs_max = abs_max_;
  scale.abs_mean = abs_sum_ / (rows * width);
  const double largest_feature = std::sqrt(feature_squares_.max().item<double>() / rows);
  scale.feature_outlier = scale.rms > 0 ? largest_feature / scale.rms : 1.0;
  return scale;
}

}  // namespace hessian::experiments
