#pragma once

#include <ATen/ATen.h>

namespace hessian::fused {

// The kernels of RMSNorm, alone and followed by a gate, on tensors without autograd. rows/rms_norm_rows.h and
// rows/gated_norm_rows.h have the formulas.

struct RmsNormValue {
  at::Tensor y;            ///< as x
  at::Tensor inverse_rms;  ///< [rows], float32 or wider
};

/// Computes RMSNorm.
/// \param x     [..., width], contiguous
/// \param gain  [width], in any precision
RmsNormValue rms_norm_value(const at::Tensor& x, const at::Tensor& gain, double eps);

struct RmsNormGradients {
  at::Tensor dx;     ///< as x
  at::Tensor dgain;  ///< as the gain
};

/// Limits of the groups of rows over which the gradient of a gain is summed. The groups, and therefore the bits of the
/// sum, depend only on the sizes and the kind of device.
struct RowGroups {
  int64_t max_groups = 1;
  int64_t min_entries = 1;  ///< entries of a group of several rows

  /// Returns the limits for a device. On the CPU, adding up at most 64 groups costs little compared with the rows; a CUDA
  /// device has 100 to 200 multiprocessors, and each gets several groups.
  static RowGroups on(c10::Device device);
  /// Returns the number of rows per group.
  int64_t rows_per_group(int64_t rows, int64_t width) const;
};

/// Computes the gradients of RMSNorm from that of its result.
/// \param dy  as x, with any strides
RmsNormGradients rms_norm_gradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                                    const at::Tensor& inverse_rms, const RowGroups& limits);
inline RmsNormGradients rms_norm_gradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                                           const at::Tensor& inverse_rms) {
  return rms_norm_gradients(dy, x, gain, inverse_rms, RowGroups::on(x.device()));
}

/// The operands of a norm.
struct NormOperand {
  at::Tensor x;     ///< [..., width], contiguous
  at::Tensor gain;  ///< [width], in any precision
  double eps = 0;
};

struct GatedNormValue {
  at::Tensor z;            ///< silu(RMSNorm(gate)) RMSNorm(up)
  at::Tensor inverse_rms;  ///< [rows, 2], float32 or wider
};

/// Computes silu(RMSNorm(gate)) RMSNorm(up).
GatedNormValue gated_norm_value(const NormOperand& gate, const NormOperand& up);

struct GatedNormGradients {
  RmsNormGradients gate;
  RmsNormGradients up;
};

/// Computes the gradients of gated_norm_value() from that of z.
/// \param dz  as z, with any strides
GatedNormGradients gated_norm_gradients(const at::Tensor& dz, const NormOperand& gate, const NormOperand& up,
                                        const at::Tensor& inverse_rms, const RowGroups& limits);
inline GatedNormGradients gated_norm_gradients(const at::Tensor& dz, const NormOperand& gate, const NormOperand& up,
                                               const at::Tensor& inverse_rms) {
  return gated_norm_gradients(dz, gate, up, inverse_rms, RowGroups::on(gate.x.device()));
}

}  // namespace hessian::fused
