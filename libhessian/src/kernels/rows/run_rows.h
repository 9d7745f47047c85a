#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/rows/cuda_rows.h"
#include "kernels/rows/host_rows.h"

namespace hessian::rows {

/// Whether passes run there: on the CPU, and on CUDA devices if this build has them for these.
inline bool passes_run_on(c10::Device device) {
  return device.is_cpu() || (device.is_cuda() && has_cuda_passes());
}

/// Whether passes over tangents run where x is, which are for float32 and float64.
inline bool can_run_on(const at::Tensor& x) {
  return (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble) && passes_run_on(x.device());
}

/// Runs a pass over its rows 0 ... rows - 1 on the device that its pointers belong to.
/// \param elements_per_row  how much work a row is, from which it is divided among threads
template <class Pass>
void run_rows(const Pass& pass, int64_t rows, int64_t elements_per_row, c10::Device device) {
  if (device.is_cuda()) {
    run_on_cuda(pass, rows, elements_per_row, device);
  } else {
    run_on_host(pass, rows, elements_per_row);
  }
}

/// The same over the last axis of a tangent.
template <class Pass>
void run_over_last_axis(const Pass& pass, const at::Tensor& tangent) {
  run_rows(pass, tangent.numel() / tangent.size(-1), tangent.size(-1), tangent.device());
}

/// Calls body with a number of x's precision, float or double.
template <class Body>
decltype(auto) with_type_of(const at::Tensor& x, const Body& body) {
  return x.scalar_type() == at::kDouble ? body(double{}) : body(float{});
}

}  // namespace hessian::rows
