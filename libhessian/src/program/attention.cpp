#include "program/attention.h"

#include <cmath>

namespace hessian {

double score_scale(const CausalAttention& attention, int64_t head_dim) {
  return attention.scale != 0 ? attention.scale : 1.0 / std::sqrt(static_cast<double>(head_dim));
}

at::Tensor hidden_keys(const CausalAttention& attention, int64_t positions, const at::TensorOptions& options) {
  const at::Tensor all = at::ones({positions, positions}, options.dtype(at::kBool));
  const at::Tensor later = all.triu(1);
  return attention.window == 0 || attention.window >= positions ? later
                                                                : later.logical_or_(all.tril(-attention.window));
}

}  // namespace hessian
