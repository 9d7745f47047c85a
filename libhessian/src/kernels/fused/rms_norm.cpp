#include "kernels/fused/rms_norm.h"

#include <algorithm>

#include "kernels/fused/dispatch.h"
#include "kernels/rows/gated_norm_rows.h"
#include "kernels/rows/rms_norm_rows.h"
#include "kernels/rows/run_rows.h"

namespace hessian::fused {

RowGroups RowGroups::on(c10::Device device) {
  return device.is_cuda() ? RowGroups{1024, 1} : RowGroups{64, 16384};
}

int64_t RowGroups::rows_per_group(int64_t rows, int64_t width) const {
  return std::max({int64_t{1}, min_entries / width, (rows + max_groups - 1) / max_groups});
}

RmsNormValue rms_norm_value(const at::Tensor& x, const at::Tensor& gain, double eps) {
  const at::Tensor g = gain.to(wide_type(x)).contiguous();
  const int64_t width = x.size(-1);
  RmsNormValue value{at::empty_like(x), at::empty({x.numel() / width}, g.options())};
  for_type_of(x, [&]<class T>(T) {
    const rows::RmsNormForward<T> pass{x.const_data_ptr<T>(),     g.const_data_ptr<Wide<T>>(),
                                       static_cast<Wide<T>>(eps), width,
                                       value.y.data_ptr<T>(),     value.inverse_rms.data_ptr<Wide<T>>()};
    rows::run_rows(pass, value.inverse_rms.numel(), width, x.device());
  });
  return value;
}

RmsNormGradients rms_norm_gradients(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& gain,
                                    const at::Tensor& inverse_rms, const RowGroups& limits) {
  const at::Tensor up = dy.contiguous();
  const at::Tensor g = gain.to(wide_type(x)).contiguous();
  const at::Tensor dx = at::empty_like(x);
  const int64_t width = x.size(-1);
  const int64_t rows = inverse_rms.numel();
  const int64_t per_group = limits.rows_per_group(rows, width);
  const int64_t groups = (rows + per_group - 1) / per_group;
  const at::Tensor gain_sums = at::empty({groups, width}, g.options());
  for_type_of(x, [&]<class T>(T) {
    const rows::RmsNormBackward<T> pass{up.const_data_ptr<T>(),
                                        x.const_data_ptr<T>(),
                                        g.const_data_ptr<Wide<T>>(),
                                        inverse_rms.const_data_ptr<Wide<T>>(),
                                        rows,
                                        per_group,
                                        width,
                                        dx.data_ptr<T>(),
                                        gain_sums.data_ptr<Wide<T>>()};
    rows::run_rows(pass, groups, per_group * width, x.device());
  });
  return {dx, gain_sums.sum(0).to(gain.scalar_type())};
}

GatedNormValue gated_norm_value(const NormOperand& gate, const NormOperand& up) {
  const at::Tensor& x = gate.x;
  const at::Tensor gate_gain = gate.gain.to(wide_type(x)).contiguous();
  const at::Tensor up_gain = up.gain.to(wide_type(x)).contiguous();
  const int64_t width = x.size(-1);
  GatedNormValue value{at::empty_like(x), at::empty({x.numel() / width, 2}, gate_gain.options())};
  for_type_of(x, [&]<class T>(T) {
    const rows::GatedNormForward<T> pass{x.const_data_ptr<T>(),
                                         up.x.const_data_ptr<T>(),
                                         gate_gain.const_data_ptr<Wide<T>>(),
                                         up_gain.const_data_ptr<Wide<T>>(),
                                         static_cast<Wide<T>>(gate.eps),
                                         static_cast<Wide<T>>(up.eps),
                                         width,
                                         value.z.data_ptr<T>(),
                                         value.inverse_rms.data_ptr<Wide<T>>()};
    rows::run_rows(pass, value.inverse_rms.size(0), width, x.device());
  });
  return value;
}

GatedNormGradients gated_norm_gradients(const at::Tensor& dz, const NormOperand& gate, const NormOperand& up,
                                        const at::Tensor& inverse_rms, const RowGroups& limits) {
  const at::Tensor& x = gate.x;
  const at::Tensor down = dz.contiguous();
  const at::Tensor gate_gain = gate.gain.to(wide_type(x)).contiguous();
  const at::Tensor up_gain = up.gain.to(wide_type(x)).contiguous();
  const at::Tensor dgate = at::empty_like(x);
  const at::Tensor dup = at::empty_like(x);
  const int64_t width = x.size(-1);
  const int64_t rows = inverse_rms.size(0);
  const int64_t per_group = limits.rows_per_group(rows, width);
  const int64_t groups = (rows + per_group - 1) / per_group;
  const at::Tensor gain_sums = at::empty({groups, 2, width}, gate_gain.options());
  for_type_of(x, [&]<class T>(T) {
    const rows::GatedNormBackward<T> pass{down.const_data_ptr<T>(),
                                          x.const_data_ptr<T>(),
                                          up.x.const_data_ptr<T>(),
                                          gate_gain.const_data_ptr<Wide<T>>(),
                                          up_gain.const_data_ptr<Wide<T>>(),
                                          inverse_rms.const_data_ptr<Wide<T>>(),
                                          rows,
                                          per_group,
                                          width,
                                          dgate.data_ptr<T>(),
                                          dup.data_ptr<T>(),
                                          gain_sums.data_ptr<Wide<T>>()};
    rows::run_rows(pass, groups, per_group * width, x.device());
  });
  const at::Tensor dgains = gain_sums.sum(0);
  return {{dgate, dgains[0].to(gate.gain.scalar_type())}, {dup, dgains[1].to(up.gain.scalar_type())}};
}

}  // namespace hessian::fused
