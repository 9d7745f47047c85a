#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/rows/cuda_rows.h"
#include "kernels/rows/host_rows.h"

namespace hessian::rows {

/// Returns whether passes can run on a device: always on the CPU, and on CUDA devices if this build has CUDA sources.
inline bool passes_run_on(c10::Device device) {
  return device.is_cpu() || (device.is_cuda() && has_cuda_passes());
}

/// Returns whether passes over tangents can run on x's device and in its precision, float32 or float64.
inline bool can_run_on(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && passes_run_on(x.device());
}

/// Runs a pass over its rows 0 ... rows - 1 on the device of its pointers.
/// \param elements_per_row  the work per row, which determines how rows are divided among threads
template <class Pass>
void run_rows(const Pass& pass, int64_t rows, int64_t elements_per_row, c10::Device device) {
  if (device.is_cuda()) {
    run_on_cuda(pass, rows, elements_per_row, device);
  } else {
    run_on_host(pass, rows, elements_per_row);
  }
}

/// Runs a pass over the rows along the last axis of a tangent.
template <class Pass>
void run_over_last_axis(const Pass& pass, const at::Tensor& tangent) {
  run_rows(pass, tangent.numel() / tangent.size(-1), tangent.size(-1), tangent.device());
}

/// Calls body with a value of x's element type, float or double.
template <class Body>
decltype(auto) with_type_of(const at::Tensor& x, const Body& body) {
  return x.scalar_type() == at::kDouble ? body(double{}) : body(float{});
}

}  // namespace hessian::rows
