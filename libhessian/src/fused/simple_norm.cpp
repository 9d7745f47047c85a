#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "fused/dispatch.h"
#include "fused/functions.h"
#include "fused/rms_norm.h"
#include "products.h"

// z = g y r with y = x W^T and r = (mean(y^2) + eps)^(-1/2): from dz, one pass over rows gives dy and dg, and then
// dx = dy W, dW = dy^T x. Source: SimpleGPT, arXiv 2602.01212; rows/rms_norm_rows.h for the norm.

namespace hessian::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

at::Tensor rows_of(const at::Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

struct LinearRmsNormFunction : Function<LinearRmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& weight,
                            const at::Tensor& gain, double eps) {
    const at::Tensor x = for_products(input);
    const at::Tensor w = for_products(weight);
    const at::Tensor y = at::linear(x, w).contiguous();
    const auto [z, inverse_rms] = rms_norm_value(y, gain, eps);
    ctx->save_for_backward({x, w, y, gain, inverse_rms});
    ctx->saved_data["weight_type"] = static_cast<int64_t>(weight.scalar_type());
    ctx->saved_data["input_type"] = static_cast<int64_t>(input.scalar_type());
    return z;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("SimpleNorm");
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const auto [dy, dgain] = rms_norm_gradients(gradients[0], saved[2], saved[3], saved[4]);
    const auto type = [ctx](const char* name) { return static_cast<at::ScalarType>(ctx->saved_data[name].toInt()); };
    at::Tensor dx;
    at::Tensor dw;
    if (ctx->needs_input_grad(0)) {
      dx = at::mm(rows_of(dy), saved[1]).view(x.sizes()).to(type("input_type"));
    }
    if (ctx->needs_input_grad(1)) {
      dw = gradient_of_weight(rows_of(dy), rows_of(x), type("weight_type"));
    }
    return {dx, dw, dgain, at::Tensor()};
  }
};

}  // namespace

at::Tensor for_products(const at::Tensor& x) {
  const at::DeviceType device = x.device().type();
  const bool rounds =
      at::autocast::is_autocast_enabled(device) && x.is_floating_point() && x.scalar_type() != at::kDouble;
  return rounds ? x.to(at::autocast::get_autocast_dtype(device)) : x;
}

at::Tensor linear_rms_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& gain, double eps) {
  expect_shape("weight", weight, {weight.size(0), x.size(-1)}, x);
  expect_shape("gain", gain, {weight.size(0)}, x);
  return LinearRmsNormFunction::apply(x, weight, gain, eps);
}

}  // namespace hessian::fused
