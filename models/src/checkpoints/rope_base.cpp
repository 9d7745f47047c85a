#include "checkpoints/rope_base.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace hessian::models {
namespace {

/// Returns whether the table is that of a base. Its angles are products of a position and a frequency, each rounded to
/// float32. The exponent of a frequency is rounded too, to which log(base) is a factor: all together 1e-6 of the angle.
bool gives_table(double base, const at::Tensor& table) {
  const std::int64_t pairs = table.size(1);
  const at::Tensor positions = at::arange(table.size(0), at::kDouble).unsqueeze(1);
  const at::Tensor exponents = at::arange(pairs, at::kDouble) / static_cast<double>(pairs);
  const at::Tensor angles = positions * at::pow(base, -exponents);
  const at::Tensor error = at::abs(table - at::polar(at::ones_like(angles), angles));
  return (error <= 5e-7 + 2e-6 * angles).all().item<bool>();
}

double rounded_to_digits(double value, int digits) {
  const double unit = std::pow(10.0, std::floor(std::log10(value)) + 1 - digits);
  return std::round(std::round(value / unit) * unit);
}

}  // namespace

std::optional<double> rope_base_of_table(const at::Tensor& table) {
  if (table.dim() != 2 || !table.is_complex() || table.size(0) < 2 || table.size(1) < 1) {
    return std::nullopt;
  }
  // The beginning determines the base; later positions only accumulate rounding errors of the angles.
  constexpr std::int64_t max_positions = 1024;
  const at::Tensor start = table.narrow(0, 0, std::min(max_positions, table.size(0))).to(at::kComplexDouble);
  const auto pairs = static_cast<double>(start.size(1));
  double estimate = 10000.0;
  if (start.size(1) > 1) {
    // The last pair rotates by base^(-(pairs - 1) / pairs) at position 1, which gives the base most accurately.
    const double frequency = at::angle(start[1][-1]).item<double>();
    estimate = std::pow(frequency, -pairs / (pairs - 1));
  }
  if (!(estimate >= 1 && estimate < 1e15)) {
    return std::nullopt;
  }
  for (int digits = 1; digits <= 7; ++digits) {
    if (const double base = rounded_to_digits(estimate, digits); gives_table(base, start)) {
      return base;
    }
  }
  return gives_table(estimate, start) ? std::optional(estimate) : std::nullopt;
}

}  // namespace hessian::models
