#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "hessian/models/config.h"

namespace hessian::benchmarks {

/// What a device does at best, as large operations of LibTorch's own show: one product of square matrices, one copy.
struct DeviceLimits {
  double flops_per_second = 0;
  double bytes_per_second = 0;  ///< read and written
};

/// \param products  precision of the matrices: sums of bfloat16 are taken in float32
DeviceLimits measure_limits(at::Device device, at::ScalarType products);

/// Waits until the device has done what it was given.
void synchronise(at::Device device);

/// Median time of the work with all that it gives the device to do, over about that many seconds and three times at
/// least, after two runs that are not counted.
double median_seconds(const std::function<void()>& work, at::Device device, double seconds);

/// The least that a computation has to do, whatever it is written with.
struct Work {
  double flops = 0;  ///< of matrix products, a multiplication and an addition being two
  double bytes = 0;  ///< of weights and the optimizer's state

  /// Shares of what the device could have done in that time.
  double matmul_fraction(double seconds, const DeviceLimits& limits) const {
    return flops / seconds / limits.flops_per_second;
  }
  double bandwidth_fraction(double seconds, const DeviceLimits& limits) const {
    return bytes / seconds / limits.bytes_per_second;
  }
};

/// A step of training in float32 weights: 3 products for each linear map; 6 for attention, of the past alone; AdamW
/// reads weight, gradient and two moments and writes all but the gradient, and the maps read and write the weight and
/// the gradient once more.
Work training_step_work(const hessian::models::GptConfig& config, int64_t sequences, int64_t positions);

/// A product of the Hessian of one activation, before block 0, with k vectors a sequence: 2 products for each linear
/// map, each weight read twice; 12 for attention, of the past alone.
/// \param weight_bytes  of one entry of a weight
Work hvp_work(const hessian::models::GptConfig& config, int64_t sequences, int64_t positions, int64_t k,
              int64_t weight_bytes);

}  // namespace hessian::benchmarks
