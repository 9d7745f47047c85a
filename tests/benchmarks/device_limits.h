#pragma once

#include <ATen/ATen.h>

#include <cstdint>
#include <functional>

#include "hessian/models/config.h"

namespace hessian::benchmarks {

/// The highest rates of a device, as measured with large operations of LibTorch: one product of square matrices and one
/// copy.
struct DeviceLimits {
  double flops_per_second = 0;
  double bytes_per_second = 0;  ///< read and written
};

/// \param products  precision of the matrices: sums of bfloat16 are taken in float32
DeviceLimits measure_limits(at::Device device, at::ScalarType products);

/// Waits until the device has finished its queued work.
void synchronise(at::Device device);

/// Returns the median time of the work, including what it queues on the device, over about `seconds` and at least three
/// runs, after two runs that are not counted.
double median_seconds(const std::function<void()>& work, at::Device device, double seconds);

/// Lower bounds on the work of a computation, for any implementation.
struct Work {
  double flops = 0;  ///< of matrix products; a multiplication and an addition count as two
  double bytes = 0;  ///< read and written: weights and the optimizer's state

  /// Returns the fraction of the device's rate that is reached if the computation takes this long.
  double matmul_fraction(double seconds, const DeviceLimits& limits) const {
    return flops / seconds / limits.flops_per_second;
  }
  double bandwidth_fraction(double seconds, const DeviceLimits& limits) const {
    return bytes / seconds / limits.bytes_per_second;
  }
};

/// Returns the work of a training step with float32 weights: 3 products per linear map and 6 per attention, over past
/// positions only. AdamW reads weight, gradient and two moments and writes all but the gradient; the maps read the
/// weight and write the gradient once more.
Work training_step_work(const models::GptConfig& config, int64_t sequences, int64_t positions);

/// Returns the work of multiplying the Hessian of the residual before layer 0 with k vectors per sequence: 2 products
/// per linear map, whose weight is read twice, and 12 per attention, over past positions only.
/// \param weight_bytes  of one entry of a weight
Work hvp_work(const models::GptConfig& config, int64_t sequences, int64_t positions, int64_t k, int64_t weight_bytes);

}  // namespace hessian::benchmarks
