#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace hessian::models {

/// Returns the base of RoPE from the table [positions, head_dim / 2] of Meta's code, whose entry (t, j) is
/// exp(i t base^(-2j / head_dim)) in complex64. The base is rounded to the simplest number that gives this table to
/// float32 rounding, so that 10000 is found exactly.
/// \return  nothing if the table is of no base, such as one with scaled frequencies, or has fewer than two positions;
///          10000 for head_dim 2, where the table does not depend on it
std::optional<double> rope_base_of_table(const at::Tensor& table);

}  // namespace hessian::models
