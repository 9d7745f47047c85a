#include "kernels/rope_table.h"

#include <bit>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <tuple>

namespace hessian {

at::Tensor rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options,
                      at::ScalarType internal) {
  const auto wide = options.dtype(internal);
  const at::Tensor exponents = at::arange(0, head_dim, 2, wide) / static_cast<double>(head_dim);
  const at::Tensor frequencies = at::pow(theta, exponents).reciprocal();
  const at::Tensor angles = at::outer(at::arange(positions, wide), frequencies);
  return at::stack({angles.cos(), angles.sin()}, 1).to(options);
}

at::Tensor cached_rope_table(int64_t head_dim, double theta, int64_t positions, const at::TensorOptions& options) {
  static std::mutex mutex;
  static std::map<std::tuple<int64_t, double, at::ScalarType, std::string>, at::Tensor> tables;
  const std::lock_guard lock(mutex);
  at::Tensor& table = tables[{head_dim, theta, c10::typeMetaToScalarType(options.dtype()), options.device().str()}];
  if (!table.defined() || table.size(0) < positions) {
    // Rounds the length up, so that sequences that grow by one position do not need a new table each time.
    const auto length = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions)));
    table = rope_table(head_dim, theta, length, options);
  }
  return table.narrow(0, 0, positions);
}

}  // namespace hessian
