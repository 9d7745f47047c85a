#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

namespace hessian {

// The primitives. Activations are [S, T, width]: S sequences of T positions. A weight is [out, in]. Parameters are given
// by name; an empty name means that the primitive has no such parameter.

/// Linear map: y = x W^T + b.
struct Linear {
  std::string weight;
  std::string bias;
};

/// RMSNorm: y = (gain_offset + gain) * x / sqrt(mean(x^2) + eps), the mean over each of `heads` equal parts of the last axis.
/// Source: Zhang & Sennrich (2019), arXiv 1910.07467; per head: Qwen3 (2025), arXiv 2505.09388.
struct RmsNorm {
  std::string gain;  ///< [width / heads]
  double eps = 1e-5;
  int64_t heads = 1;
  double gain_offset = 0;  ///< 1 in Gemma, which stores the gain minus 1
};

/// LayerNorm: y = gain * (x - mean) / sqrt(var + eps) + bias over the last axis. Source: Ba et al. (2016), arXiv
/// 1607.06450.
struct LayerNorm {
  std::string gain;
  std::string bias;
  double eps = 1e-5;
};

/// Rotary position embedding: in every head, rotates the pair (x[2j], x[2j+1]) at position t by the angle
/// t * theta^(-2j / rotated_dim) * factors[j], and multiplies it by `scale`. Entries of a head beyond rotated_dim stay as
/// they are. Source: Su et al. (2021), arXiv 2104.09864, in Meta's interleaved layout.
struct Rope {
  int64_t head_dim = 0;
  double theta = 10000.0;
  int64_t rotated_dim = 0;                ///< even; 0 for head_dim
  std::vector<double> factors = {};       ///< of the frequencies, [rotated_dim / 2]; empty for ones
  double scale = 1.0;                     ///< of the cosines and sines: the attention factor of YaRN
  int64_t original_positions = 0;         ///< sequences that are longer use the two fields below; 0 for no such limit
  std::vector<double> long_factors = {};  ///< replace the factors (LongRoPE); empty: the same factors
  /// Dynamic NTK scaling by this factor F: theta becomes theta * (F T / original_positions - (F - 1))^(d / (d - 2)) with
  /// d = rotated_dim, for sequences of T positions. 0 for none.
  double dynamic_factor = 0;

  bool operator==(const Rope&) const = default;
  auto operator<=>(const Rope&) const = default;
};

/// Causal softmax attention of q [S, T, n_heads * h], k and v [S, T, n_kv_heads * h], with scores scale * <q, k>. Query head
/// i reads key/value head i / (n_heads / n_kv_heads).
struct CausalAttention {
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;
  double scale = 0;  ///< 0 for 1/sqrt(h)
  /// Scores s become soft_cap * tanh(s / soft_cap); 0 for none. Source: Gemma 2 (2024), arXiv 2408.00118.
  double soft_cap = 0;
  /// Position t sees the last `window` positions up to itself; 0 for all. Source: Mistral 7B (2023), arXiv 2310.06825.
  int64_t window = 0;
};

/// Gated activation: y = silu(gate) * up.
struct SiluGate {};

/// Gated activation: y = gelu(gate) * up, with GELU exact or in its tanh approximation. Source: Shazeer (2020), arXiv
/// 2002.05202.
struct GeluGate {
  bool tanh_approximation = false;
};

/// GELU, exact or in its tanh approximation.
struct Gelu {
  bool tanh_approximation = false;
};

/// Multiple: y = factor * x.
struct Scale {
  double factor = 1.0;
};

/// Soft cap: y = cap * tanh(x / cap). Source: Gemma 2, arXiv 2408.00118.
struct SoftCap {
  double cap = 1.0;
};

/// Sum: y = a + b.
struct Add {};

/// Copy: y = x. Gives one use of an activation a value of its own, so that it can be perturbed separately from the other
/// uses.
struct Identity {};

/// Looks up the rows of a table for token ids [S, T].
struct Embedding {
  std::string table;
};

/// Adds the first T rows of a table of learned positions to x.
struct AddPositions {
  std::string table;
};

/// Mean cross-entropy, in nats, of softmax(x W^T) against target ids [S, T]. The mean is taken over the T positions of
/// each sequence; the result is [S].
struct CrossEntropyHead {
  std::string weight;
  double soft_cap = 0;  ///< logits z become soft_cap * tanh(z / soft_cap); 0 for none
};

using Operation = std::variant<Linear, RmsNorm, LayerNorm, Rope, CausalAttention, SiluGate, GeluGate, Gelu, Scale,
                               SoftCap, Add, Identity, Embedding, AddPositions, CrossEntropyHead>;

/// Index of a value in a Program: the inputs come first, then the result of each step.
using ValueId = int;

/// One primitive applied to earlier values.
struct Step {
  Operation operation;
  std::vector<ValueId> inputs;
};

/// A differentiable function as a list of primitives. It is data rather than code, so that evaluate() can run it under
/// autograd and a Tape can differentiate it by its own rules.
struct Program {
  int n_inputs = 0;
  std::vector<Step> steps;
  ValueId output = 0;
  /// Named values, such as the input of a linear map.
  std::map<std::string, ValueId> sites;

  /// Appends a step and returns its result.
  ValueId push(Operation operation, std::vector<ValueId> inputs) {
    steps.push_back({std::move(operation), std::move(inputs)});
    return n_inputs + static_cast<ValueId>(steps.size()) - 1;
  }

  /// Appends the steps of another program and returns its output. `other_inputs` are the values of this program that
  /// serve as the inputs of `other`. The sites of `other` are added with `prefix` in front of their names.
  ValueId append(const Program& other, const std::vector<ValueId>& other_inputs, const std::string& prefix);
};

/// Returns the names of the parameters that a program reads as a whole, each once, in the order of their first use.
/// Tables of embeddings, of which only rows are read, are not included.
std::vector<std::string> parameter_names(const Program& program);

}  // namespace hessian
