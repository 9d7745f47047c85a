#include "kernels/fused/functions.h"

#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <string>
#include <type_traits>

#include "kernels/fused/dispatch.h"
#include "kernels/fused/rms_norm.h"
#include "kernels/rows/cross_entropy_rows.h"
#include "kernels/rows/gate_rows.h"
#include "kernels/rows/rope_rows.h"
#include "kernels/rows/run_rows.h"

namespace hessian::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& gain, double eps) {
    const at::Tensor x = input.contiguous();
    const auto [y, inverse_rms] = rms_norm_value(x, gain, eps);
    ctx->save_for_backward({x, gain, inverse_rms});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("RMSNorm");
    const tensor_list saved = ctx->get_saved_variables();
    const auto [dx, dgain] = rms_norm_gradients(gradients[0], saved[0], saved[1], saved[2]);
    return {dx, dgain, at::Tensor()};
  }
};

/// \tparam Activation  of gate_rows.h
template <class Activation>
struct GateFunction : Function<GateFunction<Activation>> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_input, const at::Tensor& up_input) {
    const at::Tensor gate = gate_input.contiguous();
    const at::Tensor up = up_input.contiguous();
    at::Tensor y = at::empty_like(gate);
    for_type_of(gate, [&]<class T>(T) {
      const rows::GateForward<T, Activation> pass{gate.const_data_ptr<T>(), up.const_data_ptr<T>(), gate.size(-1),
                                          y.data_ptr<T>()};
      rows::run_over_last_axis(pass, gate);
    });
    ctx->save_for_backward({gate, up});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative(std::is_same_v<Activation, rows::Silu> ? "SiLU gate" : "GELU gate");
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor dgate = at::empty_like(saved[0]);
    const at::Tensor dup = at::empty_like(saved[1]);
    for_type_of(dgate, [&]<class T>(T) {
      const rows::GateBackward<T, Activation> pass{dy.const_data_ptr<T>(),       saved[0].const_data_ptr<T>(),
                                           saved[1].const_data_ptr<T>(), dy.size(-1),
                                           dgate.data_ptr<T>(),          dup.data_ptr<T>()};
      rows::run_over_last_axis(pass, dy);
    });
    return {dgate, dup};
  }
};

struct RopeFunction : Function<RopeFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& table) {
    ctx->saved_data["table"] = table;
    return turn(x.contiguous(), table, false);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("RoPE");
    return {turn(gradients[0].contiguous(), ctx->saved_data["table"].toTensor(), true), at::Tensor()};
  }

 private:
  static at::Tensor turn(const at::Tensor& x, const at::Tensor& table, bool back) {
    at::Tensor y = at::empty_like(x);
    const int64_t head_dim = 2 * table.size(2);
    for_type_of(x, [&]<class T>(T) {
      const int64_t heads = x.size(2) / head_dim;
      const rows::RotatePairs<T> pass{
          x.const_data_ptr<T>(), table.const_data_ptr<Wide<T>>(), back, x.size(1), heads, head_dim, y.data_ptr<T>()};
      rows::run_rows(pass, x.size(0) * x.size(1) * heads, head_dim, x.device());
    });
    return y;
  }
};

/// Checks targets on the CPU. On a CUDA device, a check here would wait for the device; instead, the kernel sets the
/// loss of an invalid target to NaN.
void expect_classes(const at::Tensor& targets, int64_t classes) {
  if (!targets.is_cpu()) {
    return;
  }
  for (int64_t i = 0; i < targets.numel(); ++i) {
    const int64_t target = targets.const_data_ptr<int64_t>()[i];
    if (target < 0 || target >= classes) {
      throw std::out_of_range("target " + std::to_string(target) + " is not one of the " + std::to_string(classes) +
                              " classes");
    }
  }
}

struct CrossEntropyFunction : Function<CrossEntropyFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits_input, const at::Tensor& targets_input) {
    const at::Tensor logits = logits_input.contiguous();
    const at::Tensor targets = targets_input.contiguous();
    const at::Tensor losses = at::empty(targets.sizes(), logits.options().dtype(wide_type(logits)));
    const at::Tensor normaliser = at::empty({targets.numel(), 2}, losses.options());
    expect_classes(targets, logits.size(-1));
    for_type_of(logits, [&]<class T>(T) {
      const rows::CrossEntropyForward<T> pass{logits.const_data_ptr<T>(), targets.const_data_ptr<int64_t>(),
                                              logits.size(-1), losses.data_ptr<Wide<T>>(),
                                              normaliser.data_ptr<Wide<T>>()};
      rows::run_over_last_axis(pass, logits);
    });
    ctx->save_for_backward({logits, targets, normaliser});
    return losses.mean(-1);
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("cross-entropy");
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor& logits = saved[0];
    const at::Tensor& targets = saved[1];
    const at::Tensor dloss = gradients[0].contiguous();
    const at::Tensor dlogits = at::empty_like(logits);
    for_type_of(logits, [&]<class T>(T) {
      const rows::CrossEntropyBackward<T> pass{dloss.const_data_ptr<Wide<T>>(),
                                               logits.const_data_ptr<T>(),
                                               targets.const_data_ptr<int64_t>(),
                                               saved[2].const_data_ptr<Wide<T>>(),
                                               logits.size(-1),
                                               targets.size(-1),
                                               dlogits.data_ptr<T>()};
      rows::run_over_last_axis(pass, logits);
    });
    return {dlogits, at::Tensor()};
  }
};

}  // namespace

bool has_kernels_for(const at::Tensor& x) {
  return rows::passes_run_on(x.device()) &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble || x.scalar_type() == at::kBFloat16);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  expect_shape("gain", gain, {x.size(-1)}, x);
  return RmsNormFunction::apply(x, gain, eps);
}

at::Tensor silu_gate(const at::Tensor& gate, const at::Tensor& up) {
  expect_shape("up", up, gate.sizes(), gate);
  return GateFunction<rows::Silu>::apply(gate, up);
}

at::Tensor gelu_gate(const at::Tensor& gate, const at::Tensor& up, bool tanh_approximation) {
  expect_shape("up", up, gate.sizes(), gate);
  return tanh_approximation ? GateFunction<rows::TanhGelu>::apply(gate, up)
                            : GateFunction<rows::ExactGelu>::apply(gate, up);
}

at::Tensor rope(const at::Tensor& x, const at::Tensor& table) {
  const int64_t head_dim = 2 * table.size(-1);
  if (head_dim < 2 || head_dim % 2 != 0 || x.dim() != 3 || x.size(2) % head_dim != 0) {
    throw std::invalid_argument("RoPE's input is " + c10::str(x.sizes()) + ", expected [S, T, width] in heads of " +
                                std::to_string(head_dim) + ", an even number that divides the width");
  }
  expect_shape("table", table, {x.size(1), 2, head_dim / 2}, x);
  return RopeFunction::apply(x, table);
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  expect_shape("targets", targets, logits.sizes().slice(0, 2), logits);
  return CrossEntropyFunction::apply(logits, targets);
}

}  // namespace hessian::fused
