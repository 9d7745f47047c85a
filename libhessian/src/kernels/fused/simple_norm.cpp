#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "kernels/fused/dispatch.h"
#include "kernels/fused/functions.h"
#include "kernels/fused/rms_norm.h"
#include "kernels/products.h"

// z = g y r with y = x W^T and r = (mean(y^2) + eps)^(-1/2): from dz, one pass over rows gives dy and dg, and then
// dx = dy W, dW = dy^T x. Source: SimpleGPT, arXiv 2602.01212; rows/rms_norm_rows.h has the norm.

namespace hessian::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

at::Tensor rows_of(const at::Tensor& x) {
  return x.reshape({-1, x.size(-1)});
}

struct SimpleNormFunction : Function<SimpleNormFunction> {
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

/// Two SimpleNorms and the gate that reads both. The results of the norms are not written. If both maps read the same
/// input, its gradient is the sum of both products.
struct GatedSimpleNormFunction : Function<GatedSimpleNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_input, const at::Tensor& gate_weight,
                            const at::Tensor& gate_gain, const at::Tensor& up_input, const at::Tensor& up_weight,
                            const at::Tensor& up_gain, double gate_eps, double up_eps) {
    const at::Tensor gate_x = for_products(gate_input);
    const at::Tensor up_x = up_input.is_same(gate_input) ? gate_x : for_products(up_input);
    const at::Tensor gate_w = for_products(gate_weight);
    const at::Tensor up_w = for_products(up_weight);
    const at::Tensor p = at::linear(gate_x, gate_w).contiguous();
    const at::Tensor q = at::linear(up_x, up_w).contiguous();
    const auto [z, inverse_rms] = gated_norm_value({p, gate_gain, gate_eps}, {q, up_gain, up_eps});
    ctx->save_for_backward({gate_x, gate_w, p, gate_gain, up_x, up_w, q, up_gain, inverse_rms});
    ctx->saved_data["weight_type"] = static_cast<int64_t>(gate_weight.scalar_type());
    ctx->saved_data["input_type"] = static_cast<int64_t>(gate_input.scalar_type());
    ctx->saved_data["one_input"] = up_input.is_same(gate_input);
    return z;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("SimpleNorm");
    const tensor_list saved = ctx->get_saved_variables();
    const auto [gate, up] = gated_norm_gradients(gradients[0], {saved[2], saved[3]}, {saved[6], saved[7]}, saved[8]);
    const auto type = [ctx](const char* name) { return static_cast<at::ScalarType>(ctx->saved_data[name].toInt()); };
    const auto by_input = [&](const at::Tensor& product, const at::Tensor& x) {
      return product.view(x.sizes()).to(type("input_type"));
    };
    const auto by_weight = [&](const at::Tensor& dy, const at::Tensor& x) {
      return gradient_of_weight(rows_of(dy), rows_of(x), type("weight_type"));
    };
    tensor_list result(8);
    const bool one_input = ctx->saved_data["one_input"].toBool();
    if (ctx->needs_input_grad(0)) {
      at::Tensor product = at::mm(rows_of(gate.dx), saved[1]);
      if (one_input) {
        product.addmm_(rows_of(up.dx), saved[5]);
      }
      result[0] = by_input(product, saved[0]);
    }
    if (ctx->needs_input_grad(3) && !one_input) {
      result[3] = by_input(at::mm(rows_of(up.dx), saved[5]), saved[4]);
    }
    if (ctx->needs_input_grad(1)) {
      result[1] = by_weight(gate.dx, saved[0]);
    }
    if (ctx->needs_input_grad(4)) {
      result[4] = by_weight(up.dx, saved[4]);
    }
    result[2] = gate.dgain;
    result[5] = up.dgain;
    return result;
  }
};

void expect_map(const SimpleNormOperand& map) {
  expect_shape("weight", map.weight, {map.weight.size(0), map.x.size(-1)}, map.x);
  expect_shape("gain", map.gain, {map.weight.size(0)}, map.x);
}

}  // namespace

at::Tensor for_products(const at::Tensor& x) {
  const at::DeviceType device = x.device().type();
  const bool rounds =
      at::autocast::is_autocast_enabled(device) && x.is_floating_point() && x.scalar_type() != at::kDouble;
  return rounds ? x.to(at::autocast::get_autocast_dtype(device)) : x;
}

at::Tensor simple_norm(const SimpleNormOperand& map) {
  expect_map(map);
  return SimpleNormFunction::apply(map.x, map.weight, map.gain, map.eps);
}

at::Tensor simple_norm_gate(const SimpleNormOperand& gate, const SimpleNormOperand& up) {
  expect_map(gate);
  expect_map(up);
  expect_shape("up's weight", up.weight, {gate.weight.size(0), up.x.size(-1)}, gate.x);
  return GatedSimpleNormFunction::apply(gate.x, gate.weight, gate.gain, up.x, up.weight, up.gain, gate.eps, up.eps);
}

}  // namespace hessian::fused
