#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace hessian {

// The primitives. Activations are [S, T, width], S sequences of T positions; a weight is [out, in]. An empty name means
// that the primitive has no such parameter.

/// y = x W^T + b.
struct Linear {
  std::string weight;
  std::string bias;
};

/// y = gain * x / sqrt(mean(x^2) + eps) over the last axis. Source: Zhang & Sennrich (2019), arXiv 1910.07467.
struct RmsNorm {
  std::string gain;
  double eps = 1e-5;
};

/// y = gain * (x - mean) / sqrt(var + eps) + bias over the last axis. Source: Ba et al. (2016), arXiv 1607.06450.
struct LayerNorm {
  std::string gain;
  std::string bias;
  double eps = 1e-5;
};

/// Rotary positions: in every head, the pair (x[2j], x[2j+1]) at position t turns by t * theta^(-2j / head_dim).
/// Source: Su et al. (2021), arXiv 2104.09864, in Meta's interleaved layout.
struct Rope {
  int64_t head_dim = 0;
  double theta = 10000.0;
};

/// Causal softmax attention of q [S, T, n_heads * h], k and v [S, T, n_kv_heads * h], scores scaled by 1/sqrt(h). Query
/// head i reads key/value head i / (n_heads / n_kv_heads).
struct CausalAttention {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
};

/// silu(gate) * up.
struct SiluGate {};

/// GELU, exact or in its tanh approximation.
struct Gelu {
  bool tanh_approximation = false;
};

/// a + b.
struct Add {};

/// The same values under another name, so that one use of an activation can be perturbed apart from its other uses.
struct Identity {};

/// Rows of a table chosen by token ids [S, T].
struct Embedding {
  std::string table;
};

/// x + the first T rows of a table of learned positions.
struct AddPositions {
  std::string table;
};

/// Mean cross-entropy [S], in nats, of softmax(x W^T) against target ids [S, T]: one mean over T for every sequence.
struct CrossEntropyHead {
  std::string weight;
};

using Operation = std::variant<Linear, RmsNorm, LayerNorm, Rope, CausalAttention, SiluGate, Gelu, Add, Identity,
                               Embedding, AddPositions, CrossEntropyHead>;

/// Index of a value in a Program: first its inputs, then the result of each step.
using ValueId = int;

/// One primitive applied to earlier values.
struct Step {
  Operation operation;
  std::vector<ValueId> inputs;
};

/// A differentiable function as a list of primitives: data, not code, so that it can be interpreted in more than one
/// way.
struct Program {
  int n_inputs = 0;
  std::vector<Step> steps;
  ValueId output = 0;
  /// Values with a name, such as the input of a linear map.
  std::map<std::string, ValueId> sites;

  /// Appends a step and returns its result.
  ValueId push(Operation operation, std::vector<ValueId> inputs) {
    steps.push_back({std::move(operation), std::move(inputs)});
    return n_inputs + static_cast<ValueId>(steps.size()) - 1;
  }

  /// Appends the steps of another program, which reads these values for its inputs, and returns its output. Its sites
  /// come along under `prefix` and their own names.
  ValueId append(const Program& part, const std::vector<ValueId>& part_inputs, const std::string& prefix);
};

/// The names of the parameters that a program reads whole, each once, in the order in which it does. Tables of
/// embeddings, of which rows are read, are not among them.
std::vector<std::string> parameter_names(const Program& program);

}  // namespace hessian
