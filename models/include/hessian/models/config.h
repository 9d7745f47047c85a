#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hessian::models {

/// The three model families. They differ in norm, positions, activation, biases and RoPE base; see docs/math.md.
enum class Family { gpt2, llama2, llama3 };

/// Where a layer normalises.
enum class Placement {
  prenorm,    ///< x + f(norm(x))
  preqknorm,  ///< prenorm, with RMSNorm over the whole width of q and of k before the split into heads
  simplegpt,  ///< SimpleNorm: RMSNorm after every linear map of a layer, none at its input
  postnorm,   ///< norm(x + f(x))
  sandwich,   ///< x + norm(f(norm(x)))
};

enum class Activation {
  silu_gate,  ///< silu(gate) * up, with two input projections
  gelu,       ///< exact GELU (nanoGPT)
  gelu_tanh,  ///< tanh approximation (Hugging Face `gelu_new`)
};

/// Everything that determines the architecture of a GPT. Models with equal configurations have tensors of the same
/// names and shapes.
struct GptConfig {
  Family family = Family::llama2;
  Placement placement = Placement::prenorm;
  int64_t dim = 0;
  int64_t n_layers = 0;
  int64_t n_heads = 0;
  int64_t n_kv_heads = 0;      ///< number of key/value heads; n_heads for plain multi-head attention
  int64_t head_dim = 0;        ///< dim / n_heads unless the checkpoint says otherwise
  int64_t ffn_hidden_dim = 0;  ///< width of the feed-forward layer
  int64_t vocab_size = 0;
  int64_t max_seq_len = 0;  ///< longest sequence; a hard limit if positions are learned
  double norm_eps = 1e-5;
  double rope_theta = 10000.0;  ///< base of RoPE; unused by gpt2
  bool bias = false;            ///< biases in linear maps and LayerNorms; gpt2 only
  bool tied_head = false;       ///< the output head is the token embedding
  Activation activation = Activation::silu_gate;

  bool operator==(const GptConfig&) const = default;
};

/// Initial distribution of a parameter: N(mean, std^2), truncated at +-truncation standard deviations unless that is 0.
struct Initialiser {
  double mean = 0.0;
  double std = 0.0;
  double truncation = 0.0;
};

/// Name, shape and initial distribution of one parameter.
struct ParameterSpec {
  std::string name;
  std::vector<int64_t> shape;
  Initialiser initialiser;
};

/// Returns every parameter of a model, in the order in which the forward pass uses them. The names are those of the
/// official SimpleGPT code for llama2 and llama3; gpt2 has the same names, plus `.bias` for biases,
/// `pos_embeddings.weight`, and w1, w2 for its two feed-forward matrices. A tied head has no `output.weight`.
std::vector<ParameterSpec> parameter_specs(const GptConfig& config);

/// Returns the number of scalars in parameter_specs(config).
int64_t parameter_count(const GptConfig& config);

/// Returns the width of the SwiGLU layer: 2/3 of 4 dim (truncated), times the multiplier (truncated), rounded up to
/// multiple_of.
/// Source: the official SimpleGPT code, which follows Llama 2.
int64_t swiglu_hidden_dim(int64_t dim, std::optional<double> multiplier, int64_t multiple_of);

/// Checks sizes and divisibility.
/// \throws std::runtime_error  "n_heads 3 does not divide dim 64" and the like
void validate(const GptConfig& config);

/// Returns the configuration as JSON, with the keys of the official model arguments (family, norm, norm_eps,
/// n_kv_heads, rope_theta, max_seq_len, dim, n_layers, n_heads, vocab_size) plus head_dim, ffn_hidden_dim, bias,
/// tied_head, activation.
std::string config_to_json(const GptConfig& config);

/// Parses the result of config_to_json(), or the official form, which has ffn_dim_multiplier and multiple_of instead of
/// ffn_hidden_dim.
/// \throws std::runtime_error  one line that names the key and what it should be
GptConfig config_from_json(const std::string& json);

const char* to_string(Family family);
const char* to_string(Placement placement);
const char* to_string(Activation activation);

/// \throws std::runtime_error  naming the accepted words
Family parse_family(const std::string& word);
Placement parse_placement(const std::string& word);
Activation parse_activation(const std::string& word);

}  // namespace hessian::models
