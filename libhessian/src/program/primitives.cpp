#include <ATen/ATen.h>

#include <limits>
#include <optional>
#include <stdexcept>

#include "hessian/evaluate.h"
#include "kernels/fused/functions.h"
#include "program/attention.h"
#include "program/rope_table.h"

namespace hessian {
namespace {

/// The arguments of a primitive: its inputs, the parameters, and how it is computed.
struct Operands {
  std::span<const at::Tensor> inputs;
  const Parameters& parameters;
  Numerics numerics;
  Derivatives derivatives;

  const at::Tensor& operator[](std::size_t i) const { return inputs[i]; }
  const at::Tensor& parameter(const std::string& name) const { return parameters.at(name); }
  /// Returns whether to use the fused kernels, which have only first derivatives, for activations x.
  bool fused(const at::Tensor& x) const { return derivatives == Derivatives::first && fused::has_kernels_for(x); }
};

at::ScalarType at_least_float32(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

/// Returns the precision of sums over a row.
at::ScalarType statistics_dtype(const Operands& operands) {
  return operands.numerics == Numerics::wide ? at_least_float32(operands[0]) : at::kFloat;
}

at::Tensor apply(const Linear& linear, const Operands& operands) {
  return at::linear(operands[0], operands.parameter(linear.weight),
                    linear.bias.empty() ? at::Tensor() : operands.parameter(linear.bias));
}

at::Tensor apply(const RmsNorm& norm, const Operands& operands) {
  const at::Tensor& x = operands[0];
  const auto dtype = statistics_dtype(operands);
  // In bfloat16, offset + gain would lose most digits of the gain.
  const bool has_offset = norm.gain_offset != 0;
  const at::Tensor& stored = operands.parameter(norm.gain);
  const at::Tensor gain = has_offset ? stored.to(dtype) + norm.gain_offset : stored;
  const at::Tensor heads = x.unflatten(-1, {norm.heads, -1});
  if (operands.fused(x)) {
    return fused::rms_norm(heads, gain, norm.eps).view(x.sizes());
  }
  const at::Tensor wide = heads.to(dtype);
  const at::Tensor normalised = wide * (wide.square().mean(-1, true) + norm.eps).rsqrt();
  const at::Tensor y = ((has_offset ? normalised : normalised.to(x.scalar_type())) * gain).flatten(-2);
  return has_offset || operands.derivatives == Derivatives::first ? y.to(x.scalar_type()) : y;
}

at::Tensor apply(const LayerNorm& norm, const Operands& operands) {
  const at::Tensor& x = operands[0];
  const auto dtype = statistics_dtype(operands);
  const at::Tensor gain = operands.parameter(norm.gain).to(dtype);
  const at::Tensor bias = norm.bias.empty() ? at::Tensor() : operands.parameter(norm.bias).to(dtype);
  return at::layer_norm(x.to(dtype), {x.size(-1)}, gain, bias, norm.eps).to(x.scalar_type());
}

at::Tensor apply(const Rope& rope, const Operands& operands) {
  const at::Tensor& x = operands[0];
  if (operands.fused(x)) {
    return fused::rope(x, cached_rope_table(rope, x.size(1), x.options().dtype(at_least_float32(x))));
  }
  const int64_t positions = x.size(1);
  const auto dtype = at_least_float32(x);
  const at::Tensor table = rope_table(rope, positions, x.options().dtype(dtype),
                                      operands.numerics == Numerics::wide ? at::kDouble : at::kFloat)
                               .unsqueeze(1);
  const at::Tensor cosine = table.select(2, 0);
  const at::Tensor sine = table.select(2, 1);

  const at::Tensor pairs = x.to(dtype).reshape({x.size(0), positions, -1, rope.head_dim / 2, 2});
  const at::Tensor even = pairs.select(-1, 0);
  const at::Tensor odd = pairs.select(-1, 1);
  const at::Tensor turned = at::stack({even * cosine - odd * sine, even * sine + odd * cosine}, -1);
  return turned.view(x.sizes()).to(x.scalar_type());
}

at::Tensor soft_capped(const at::Tensor& x, double cap) {
  return at::tanh(x / cap) * cap;
}

/// Computes attention with LibTorch's fused kernels, which do not materialise [T, T] weights and have no second
/// derivative. On the CPU, they treat a NaN query as one that sees no key, and return zeros; NaN in v stays NaN.
at::Tensor flash_attention(const CausalAttention& attention, const Operands& operands) {
  const at::Tensor& q = operands[0];
  const int64_t head_dim = q.size(2) / attention.n_heads;
  std::optional<at::Tensor> mask;
  if (attention.window != 0 && attention.window < q.size(1)) {
    mask = hidden_keys(attention, q.size(1), q.options()).logical_not();
  }
  // Makes views [S, heads, T, h]; the result has the memory layout [S, T, heads, h] again.
  const auto split = [&](const at::Tensor& x, int64_t heads) {
    return x.reshape({x.size(0), x.size(1), heads, head_dim}).transpose(1, 2);
  };
  return at::scaled_dot_product_attention(split(q, attention.n_heads), split(operands[1], attention.n_kv_heads),
                                          split(operands[2], attention.n_kv_heads), mask, 0.0,
                                          /*is_causal=*/!mask.has_value(), score_scale(attention, head_dim),
                                          /*enable_gqa=*/attention.n_heads != attention.n_kv_heads)
      .transpose(1, 2)
      .reshape(q.sizes());
}

at::Tensor apply(const CausalAttention& attention, const Operands& operands) {
  // LibTorch's fused kernels have no soft cap.
  if (operands.derivatives == Derivatives::first && attention.soft_cap == 0) {
    return flash_attention(attention, operands);
  }
  const at::Tensor& q = operands[0];
  const int64_t sequences = q.size(0);
  const int64_t positions = q.size(1);
  const int64_t head_dim = q.size(2) / attention.n_heads;
  const int64_t group = attention.n_heads / attention.n_kv_heads;
  // The query heads that share a key head are stacked along the rows, so that keys and values need not be repeated.
  const auto queries = q.reshape({sequences, positions, attention.n_kv_heads, group, head_dim})
                           .permute({0, 2, 3, 1, 4})
                           .reshape({sequences, attention.n_kv_heads, group * positions, head_dim});
  const auto split = [&](const at::Tensor& x) {
    return x.reshape({sequences, positions, attention.n_kv_heads, head_dim}).transpose(1, 2);
  };
  const at::Tensor keys = split(operands[1]);
  const at::Tensor values = split(operands[2]);

  at::Tensor scores = at::matmul(queries * score_scale(attention, head_dim), keys.transpose(2, 3))
                          .view({sequences, attention.n_kv_heads, group, positions, positions});
  if (attention.soft_cap != 0) {
    scores = soft_capped(scores, attention.soft_cap);
  }
  const at::Tensor hidden = hidden_keys(attention, positions, q.options());
  const at::Tensor weights =
      at::softmax(scores.masked_fill(hidden, -std::numeric_limits<double>::infinity()), -1, statistics_dtype(operands))
          .to(q.scalar_type());
  return at::matmul(weights.view({sequences, attention.n_kv_heads, group * positions, positions}), values)
      .view({sequences, attention.n_kv_heads, group, positions, head_dim})
      .permute({0, 3, 1, 2, 4})
      .reshape({sequences, positions, attention.n_heads * head_dim});
}

at::Tensor apply(const SiluGate& /*gate*/, const Operands& operands) {
  if (operands.fused(operands[0]) && operands[0].scalar_type() == operands[1].scalar_type()) {
    return fused::silu_gate(operands[0], operands[1]);
  }
  return at::silu(operands[0]) * operands[1];
}

at::Tensor apply(const GeluGate& gate, const Operands& operands) {
  if (operands.fused(operands[0]) && operands[0].scalar_type() == operands[1].scalar_type()) {
    return fused::gelu_gate(operands[0], operands[1], gate.tanh_approximation);
  }
  return at::gelu(operands[0], gate.tanh_approximation ? "tanh" : "none") * operands[1];
}

at::Tensor apply(const Scale& scale, const Operands& operands) {
  return operands[0] * scale.factor;
}

at::Tensor apply(const SoftCap& cap, const Operands& operands) {
  // Rounds narrow activations once, not after each of the three operators.
  const at::Tensor& x = operands[0];
  return soft_capped(x.to(at_least_float32(x)), cap.cap).to(x.scalar_type());
}

at::Tensor apply(const Gelu& gelu, const Operands& operands) {
  return at::gelu(operands[0], gelu.tanh_approximation ? "tanh" : "none");
}

at::Tensor apply(const Add& /*add*/, const Operands& operands) {
  return operands[0] + operands[1];
}

at::Tensor apply(const Identity& /*identity*/, const Operands& operands) {
  return operands[0];
}

at::Tensor apply(const Embedding& embedding, const Operands& operands) {
  return operands.parameters.rows(embedding.table, operands[0]);
}

at::Tensor apply(const AddPositions& positions, const Operands& operands) {
  return operands[0] + operands.parameter(positions.table).narrow(0, 0, operands[0].size(1));
}

at::Tensor apply(const CrossEntropyHead& head, const Operands& operands) {
  const at::Tensor& x = operands[0];
  at::Tensor logits = at::linear(x, operands.parameter(head.weight));
  if (head.soft_cap != 0) {
    logits = soft_capped(logits, head.soft_cap);
  }
  if (operands.fused(logits)) {
    return fused::cross_entropy(logits, operands[1]);
  }
  const at::Tensor log_probabilities = at::log_softmax(logits, -1, at_least_float32(x));
  return log_probabilities.gather(-1, operands[1].unsqueeze(-1)).squeeze(-1).mean(-1).neg();
}

}  // namespace

at::Tensor apply_operation(const Operation& operation, const Parameters& parameters, std::span<const at::Tensor> inputs,
                           Numerics numerics, Derivatives derivatives) {
  if (numerics == Numerics::float32_internals && derivatives == Derivatives::first) {
    throw std::invalid_argument("Numerics::float32_internals is for comparisons; it needs Derivatives::any");
  }
  const Operands operands{inputs, parameters, numerics, derivatives};
  return std::visit([&](const auto& chosen) { return apply(chosen, operands); }, operation);
}

}  // namespace hessian
