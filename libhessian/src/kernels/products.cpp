#include "kernels/products.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include <optional>

namespace hessian {
namespace {

/// Finds an operator that not every build of LibTorch has. Returns nothing if it has no kernel for the device.
template <class Signature>
std::optional<c10::TypedOperatorHandle<Signature>> find_operator(const char* name, const char* overload,
                                                                 c10::DispatchKey device) {
  const auto schema = c10::Dispatcher::singleton().findSchema({name, overload});
  if (!schema || !schema->hasKernelForDispatchKey(device)) {
    return std::nullopt;
  }
  return schema->typed<Signature>();
}

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   c10::string_view, c10::List<std::optional<at::Scalar>>,
                                   std::optional<c10::string_view>);

/// Returns LibTorch's operator for oneDNN's matrix product.
const auto& onednn_linear() {
  static const auto found = find_operator<LinearPointwise>("mkldnn::_linear_pointwise", "", c10::DispatchKey::CPU);
  return found;
}

using MatrixProduct = at::Tensor(const at::Tensor&, const at::Tensor&, at::ScalarType);

/// Returns the product of bfloat16 matrices with a float32 result, which LibTorch has for CUDA devices since 2.8.
const auto& widening_product() {
  static const auto found = find_operator<MatrixProduct>("aten::mm", "dtype", c10::DispatchKey::CUDA);
  return found;
}

/// Returns x W^T of matrices.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight) {
  if (x.scalar_type() != weight.scalar_type() && weight.scalar_type() == at::kBFloat16) {
    const at::Tensor rounded = x.to(at::kBFloat16);
    if (x.is_cuda() && x.scalar_type() == at::kFloat && widening_product()) {
      return widening_product()->call(rounded, weight.t(), at::kFloat);
    }
    return at::linear(rounded, weight).to(x.scalar_type());
  }
  if (x.is_cpu() && x.scalar_type() == at::kFloat && x.numel() > 0 && onednn_linear()) {
    return onednn_linear()->call(x, weight, std::nullopt, "none", c10::List<std::optional<at::Scalar>>(), "");
  }
  return at::linear(x, weight);
}

}  // namespace

at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight) {
  auto sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return product(x.reshape({-1, x.size(-1)}), weight).view(sizes);
}

at::Tensor times(const at::Tensor& y, const at::Tensor& weight) {
  return times_transposed(y, weight.t());
}

at::Tensor gradient_of_weight(const at::Tensor& dy, const at::Tensor& x, at::ScalarType dtype) {
  if (dy.is_cuda() && dy.scalar_type() == at::kBFloat16 && dtype == at::kFloat && widening_product()) {
    return widening_product()->call(dy.t(), x, dtype);
  }
  return at::mm(dy.t(), x).to(dtype);
}

namespace {

/// Returns the rows of one vector of [S, k, T, width], as [S * T, width].
at::Tensor rows_of_vector(const at::Tensor& x, int64_t vector) {
  return x.select(1, vector).reshape({-1, x.size(-1)});
}

/// Reshapes [S, T, k * width] to [S, k, T, width].
at::Tensor for_each_vector(const at::Tensor& x, int64_t vectors) {
  return x.unflatten(2, {vectors, -1}).transpose(1, 2);
}

}  // namespace

at::Tensor times_each_transposed(const at::Tensor& x, const at::Tensor& weights) {
  return for_each_vector(times_transposed(x, weights.flatten(0, 1)), weights.size(0));
}

at::Tensor times_each(const at::Tensor& y, const at::Tensor& weights) {
  return for_each_vector(times_transposed(y, weights.transpose(1, 2).flatten(0, 1)), weights.size(0));
}

at::Tensor summed_products(const at::Tensor& y, const at::Tensor& x) {
  at::Tensor sums = at::empty({y.size(1), y.size(3), x.size(2)}, y.options());
  const at::Tensor rows = x.reshape({-1, x.size(-1)});
  for (int64_t vector = 0; vector < y.size(1); ++vector) {
    at::Tensor of_vector = sums[vector];
    at::mm_out(of_vector, rows_of_vector(y, vector).t(), rows);
  }
  return sums;
}

void add_summed_products_with_each(const at::Tensor& sums, const at::Tensor& y, const at::Tensor& x) {
  const at::Tensor rows = y.reshape({-1, y.size(-1)});
  for (int64_t vector = 0; vector < x.size(1); ++vector) {
    sums[vector].addmm_(rows.t(), rows_of_vector(x, vector));
  }
}

}  // namespace hessian
