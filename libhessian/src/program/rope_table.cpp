#include "program/rope_table.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <tuple>

namespace hessian {
namespace {

int64_t rotated_dim_of(const Rope& rope) {
  return rope.rotated_dim == 0 ? rope.head_dim : rope.rotated_dim;
}

/// Returns the rope whose angles do not depend on the length and equal those of `rope` for sequences of this length.
Rope rope_of_length(Rope rope, int64_t positions) {
  if (rope.original_positions > 0 && positions > rope.original_positions) {
    if (rope.dynamic_factor > 0) {
      const auto dim = static_cast<double>(rotated_dim_of(rope));
      const double growth =
          rope.dynamic_factor * static_cast<double>(positions) / static_cast<double>(rope.original_positions) -
          (rope.dynamic_factor - 1);
      rope.theta *= std::pow(growth, dim / (dim - 2));
    }
    if (!rope.long_factors.empty()) {
      rope.factors = rope.long_factors;
    }
  }
  rope.original_positions = 0;
  rope.dynamic_factor = 0;
  rope.long_factors.clear();
  return rope;
}

void check_sizes(const Rope& rope) {
  const int64_t rotated = rotated_dim_of(rope);
  const auto fits = [&](const std::vector<double>& factors) {
    return factors.empty() || static_cast<int64_t>(factors.size()) == rotated / 2;
  };
  if (rope.head_dim < 2 || rope.head_dim % 2 != 0 || rotated < 2 || rotated % 2 != 0 || rotated > rope.head_dim ||
      !fits(rope.factors) || !fits(rope.long_factors)) {
    throw std::invalid_argument(
        "RoPE rotates " + std::to_string(rotated) + " entries of heads of " + std::to_string(rope.head_dim) + " with " +
        std::to_string(rope.factors.size()) + " and " + std::to_string(rope.long_factors.size()) +
        " factors, expected even numbers, the first at most the second, and half as many factors or none");
  }
}

}  // namespace

at::Tensor rope_table(const Rope& rope, int64_t positions, const at::TensorOptions& options, at::ScalarType internal) {
  check_sizes(rope);
  const Rope now = rope_of_length(rope, positions);
  const int64_t rotated = rotated_dim_of(now);
  const auto wide = options.dtype(internal);
  const at::Tensor exponents = at::arange(0, rotated, 2, wide) / static_cast<double>(rotated);
  at::Tensor frequencies = at::pow(now.theta, exponents).reciprocal();
  if (!now.factors.empty()) {
    frequencies = frequencies * at::tensor(now.factors, at::kDouble).to(wide);
  }
  const at::Tensor angles = at::outer(at::arange(positions, wide), frequencies);
  const at::Tensor rotation = at::stack({angles.cos(), angles.sin()}, 1) * now.scale;
  const int64_t fixed = (now.head_dim - rotated) / 2;
  const at::Tensor identity = at::stack({at::ones({positions, fixed}, wide), at::zeros({positions, fixed}, wide)}, 1);
  return at::cat({rotation, identity}, -1).to(options);
}

at::Tensor cached_rope_table(const Rope& rope, int64_t positions, const at::TensorOptions& options) {
  check_sizes(rope);
  static std::mutex mutex;
  static std::map<std::tuple<Rope, at::ScalarType, std::string>, at::Tensor> tables;
  const Rope now = rope_of_length(rope, positions);
  const std::lock_guard lock(mutex);
  at::Tensor& table = tables[{now, c10::typeMetaToScalarType(options.dtype()), options.device().str()}];
  if (!table.defined() || table.size(0) < positions) {
    // Rounds the length up, so that sequences that grow by one position do not need a new table each time.
    const auto length = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(positions)));
    table = rope_table(now, length, options);
  }
  return table.narrow(0, 0, positions);
}

}  // namespace hessian
