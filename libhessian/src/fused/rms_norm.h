#pragma once

#include <ATen/ATen.h>

namespace hessian::fused {

// RMSNorm's kernels on tensors, without autograd; formulas in rows/rms_norm_rows.h.

struct RmsNormValue {
  at::Tensor y;            ///< as x
  at::Tensor inverse_rms;  ///< [rows], float32 or wider
};

/// \param x     [..., width], contiguous
/// \param gain  [width], in any precision
RmsNormValue rms_norm_value(const at::Tensor& x, const at::Tensor& gain, double eps);

struct RmsNormGradients {
  at::Tensor dx;     ///< as x
  at::Tensor dgain;  ///< as the gain
};

/// \param dy  as x, in any strides
RmsNormGradients rms_norm_gradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                                    const at::Tensor& inverse_rms);

}  // namespace hessian::fused
