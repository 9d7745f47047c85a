#pragma once

#include <ATen/ATen.h>

namespace hessian::fused {

// RMSNorm's kernels on tensors, without autograd, alone and before a gate; formulas in rows/rms_norm_rows.h and
// rows/gated_norm_rows.h.

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

/// What a norm is taken of, [..., width] and contiguous, and its gain, [width] in any precision.
struct NormOperand {
  at::Tensor x;
  at::Tensor gain;
  double eps = 0;
};

struct GatedNormValue {
  at::Tensor z;            ///< silu(RMSNorm(gate)) RMSNorm(up)
  at::Tensor inverse_rms;  ///< [rows, 2], float32 or wider
};

GatedNormValue gated_norm_value(const NormOperand& gate, const NormOperand& up);

struct GatedNormGradients {
  RmsNormGradients gate;
  RmsNormGradients up;
};

/// \param dz  as z, in any strides
GatedNormGradients gated_norm_gradients(const at::Tensor& dz, const NormOperand& gate, const NormOperand& up,
                                        const at::Tensor& inverse_rms);

}  // namespace hessian::fused
