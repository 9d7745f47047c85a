#include "fused/functions.h"

#include <torch/csrc/autograd/custom_function.h>

#include <stdexcept>
#include <string>

#include "fused/kernels.h"
#include "rope_table.h"
#include "rows/host_rows.h"
#include "rows/rope_rows.h"

namespace hessian::fused {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Calls body with a value of x's element type.
template <class Body>
void for_type_of(const at::Tensor& x, const Body& body) {
  switch (x.scalar_type()) {
    case at::kFloat:
      return body(float{});
    case at::kDouble:
      return body(double{});
    default:
      return body(c10::BFloat16{});
  }
}

/// The kernels trust their sizes.
void expect_shape(const char* name, const at::Tensor& x, at::IntArrayRef expected) {
  if (x.sizes() != expected) {
    throw std::invalid_argument(std::string(name) + " is " + c10::str(x.sizes()) + ", expected " + c10::str(expected));
  }
}

/// Autograd would take what a kernel writes for a constant, and second derivatives would be silently wrong.
void refuse_second_derivative(const char* primitive) {
  if (at::GradMode::is_enabled()) {
    throw std::runtime_error(std::string(primitive) +
                             " for training has no second derivative; evaluate with Derivatives::any");
  }
}

struct RmsNormFunction : Function<RmsNormFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& input, const at::Tensor& gain, double eps) {
    const at::Tensor x = input.contiguous();
    const at::Tensor g = gain.to(wide_type(x)).contiguous();
    at::Tensor y = at::empty_like(x);
    const int64_t width = x.size(-1);
    const at::Tensor inverse_rms = at::empty({x.numel() / width}, g.options());
    for_type_of(x, [&]<class T>(T) {
      rms_norm_forward(x.const_data_ptr<T>(), g.const_data_ptr<Wide<T>>(), eps, inverse_rms.numel(), width,
                       y.data_ptr<T>(), inverse_rms.data_ptr<Wide<T>>());
    });
    ctx->save_for_backward({x, gain, inverse_rms});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("RMSNorm");
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor& x = saved[0];
    const at::Tensor& inverse_rms = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor g = saved[1].to(wide_type(x)).contiguous();
    const at::Tensor dx = at::empty_like(x);
    const at::Tensor dgain = at::empty_like(g);
    for_type_of(x, [&]<class T>(T) {
      rms_norm_backward(dy.const_data_ptr<T>(), x.const_data_ptr<T>(), g.const_data_ptr<Wide<T>>(),
                        inverse_rms.const_data_ptr<Wide<T>>(), inverse_rms.numel(), x.size(-1), dx.data_ptr<T>(),
                        dgain.data_ptr<Wide<T>>());
    });
    return {dx, dgain.to(saved[1].scalar_type()), at::Tensor()};
  }
};

struct SiluGateFunction : Function<SiluGateFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_input, const at::Tensor& up_input) {
    const at::Tensor gate = gate_input.contiguous();
    const at::Tensor up = up_input.contiguous();
    at::Tensor y = at::empty_like(gate);
    for_type_of(gate, [&]<class T>(T) {
      silu_gate_forward(gate.const_data_ptr<T>(), up.const_data_ptr<T>(), gate.numel(), y.data_ptr<T>());
    });
    ctx->save_for_backward({gate, up});
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, const tensor_list& gradients) {
    refuse_second_derivative("SiLU gate");
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor dgate = at::empty_like(saved[0]);
    const at::Tensor dup = at::empty_like(saved[1]);
    for_type_of(dgate, [&]<class T>(T) {
      silu_gate_backward(dy.const_data_ptr<T>(), saved[0].const_data_ptr<T>(), saved[1].const_data_ptr<T>(), dy.numel(),
                         dgate.data_ptr<T>(), dup.data_ptr<T>());
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
      rows::run_on_host(pass, x.size(0) * x.size(1) * heads, head_dim);
    });
    return y;
  }
};

struct CrossEntropyFunction : Function<CrossEntropyFunction> {
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& logits_input, const at::Tensor& targets_input) {
    const at::Tensor logits = logits_input.contiguous();
    const at::Tensor targets = targets_input.contiguous();
    const at::Tensor losses = at::empty(targets.sizes(), logits.options().dtype(wide_type(logits)));
    const at::Tensor normaliser = at::empty({targets.numel(), 2}, losses.options());
    for_type_of(logits, [&]<class T>(T) {
      cross_entropy_forward(logits.const_data_ptr<T>(), targets.const_data_ptr<int64_t>(), targets.numel(),
                            logits.size(-1), losses.data_ptr<Wide<T>>(), normaliser.data_ptr<Wide<T>>());
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
      cross_entropy_backward(dloss.const_data_ptr<Wide<T>>(), logits.const_data_ptr<T>(),
                             targets.const_data_ptr<int64_t>(), saved[2].const_data_ptr<Wide<T>>(), targets.numel(),
                             logits.size(-1), targets.size(-1), dlogits.data_ptr<T>());
    });
    return {dlogits, at::Tensor()};
  }
};

}  // namespace

bool has_kernels_for(const at::Tensor& x) {
  return x.is_cpu() &&
         (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble || x.scalar_type() == at::kBFloat16);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain, double eps) {
  expect_shape("gain", gain, {x.size(-1)});
  return RmsNormFunction::apply(x, gain, eps);
}

at::Tensor silu_gate(const at::Tensor& gate, const at::Tensor& up) {
  expect_shape("up", up, gate.sizes());
  return SiluGateFunction::apply(gate, up);
}

at::Tensor rope(const at::Tensor& x, int64_t head_dim, double theta) {
  if (head_dim < 2 || head_dim % 2 != 0 || x.dim() != 3 || x.size(2) % head_dim != 0) {
    throw std::invalid_argument("RoPE's input is " + c10::str(x.sizes()) + ", expected [S, T, width] in heads of " +
                                std::to_string(head_dim) + ", an even number that divides the width");
  }
  return RopeFunction::apply(x, cached_rope_table(head_dim, theta, x.size(1), x.options().dtype(wide_type(x))));
}

at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& targets) {
  expect_shape("targets", targets, logits.sizes().slice(0, 2));
  return CrossEntropyFunction::apply(logits, targets);
}

}  // namespace hessian::fused
