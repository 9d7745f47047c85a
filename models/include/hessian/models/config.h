#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hessian::models {

/// The model families. docs/models.md says how they differ; family_defaults() is where they do.
enum class Family { gpt2, llama2, llama3, mistral, qwen2, qwen3, olmo2, pythia, gemma2, gemma3, phi3, smollm3 };

/// Where a layer normalises.
enum class Placement {
  prenorm,    ///< x + f(norm(x))
  preqknorm,  ///< prenorm, with RMSNorm over the whole width of q and of k before the split into heads
  simplegpt,  ///< SimpleNorm: RMSNorm after every linear map of a layer, none at its input
  postnorm,   ///< norm(x + f(x))
  sandwich,   ///< x + norm(f(norm(x))), as in Gemma
  reordered,  ///< x + norm(f(x)), as in OLMo 2. Source: OLMo 2 (2024), arXiv 2501.00656, section 3.2
};

enum class Activation {
  silu_gate,       ///< silu(gate) * up, with two input projections
  gelu,            ///< exact GELU (nanoGPT)
  gelu_tanh,       ///< tanh approximation (Hugging Face `gelu_new`)
  gelu_gate,       ///< gelu(gate) * up
  gelu_tanh_gate,  ///< the same with the tanh approximation (Gemma)
};

/// RMSNorm of queries and keys before they are rotated.
enum class QkNorm {
  none,
  width,  ///< over all heads together (OLMo 2)
  head,   ///< over each head, with one gain for all (Qwen3, Gemma 3)
};

/// How the frequencies of RoPE are changed for contexts longer than those of pretraining. The names are those of
/// transformers' `rope_type`; models/src/gpt/rope.cpp has the formulas and their sources.
enum class RopeType { plain, linear, dynamic, llama3, yarn, longrope };

struct RopeScaling {
  RopeType type = RopeType::plain;
  double factor = 1.0;
  int64_t original_max_seq_len = 0;  ///< context length of pretraining; 0 for max_seq_len
  double attention_factor = 0;       ///< of cosines and sines; 0 for the type's own formula (yarn, longrope)
  double low_freq_factor = 1.0;      ///< llama3
  double high_freq_factor = 4.0;     ///< llama3
  double beta_fast = 32.0;           ///< yarn
  double beta_slow = 1.0;            ///< yarn
  bool truncate = true;              ///< yarn: rounds the ends of the ramp outwards
  double mscale = 0;                 ///< yarn: the attention factor is a quotient of two formulas if both are given
  double mscale_all_dim = 0;         ///< yarn
  std::vector<double> short_factors = {};  ///< longrope: divisors of the frequencies, [rotated_dim / 2]
  std::vector<double> long_factors = {};   ///< longrope: the same, of sequences longer than original_max_seq_len

  bool operator==(const RopeScaling&) const = default;
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
  bool tied_head = false;  ///< the output head is the token embedding
  Activation activation = Activation::silu_gate;

  bool qkv_bias = false;   ///< biases of the query, key and value maps
  bool out_bias = false;   ///< bias of the attention's output map
  bool ffn_bias = false;   ///< biases of the feed-forward maps
  bool norm_bias = false;  ///< biases of LayerNorms
  double gain_offset = 0;  ///< RMSNorms multiply by gain_offset + gain
  bool parallel = false;   ///< attention and feed-forward read the same residual: x + f(norm(x)) + g(norm(x))
  QkNorm qk_norm = QkNorm::none;

  double rope_theta = 10000.0;  ///< base of RoPE; unused by gpt2
  RopeScaling rope_scaling = {};
  int64_t rotated_dim = 0;  ///< entries of each head that RoPE rotates, the first ones; 0 for all
  double local_rope_theta =
      0;  ///< base in layers with a window, which then have no scaling; 0 for the same as elsewhere
  std::string rope_pattern = "";    ///< per layer r (rotated) or n (not), repeated over the layers; empty for r
  int64_t window = 0;               ///< positions that attention sees in layers with a window; 0 for no windows
  std::string window_pattern = "";  ///< per layer w (window) or f (full), repeated over the layers; empty for w
  double query_scalar = 0;          ///< scores are divided by its square root; 0 for head_dim
  double attention_cap = 0;         ///< soft cap of the scores; 0 for none
  double logit_cap = 0;             ///< soft cap of the logits; 0 for none
  bool scaled_embedding = false;    ///< embeddings are multiplied by sqrt(dim)

  bool operator==(const GptConfig&) const = default;
};

/// Returns the configuration that a family has where nothing else is said: everything but its sizes, which are 0.
GptConfig family_defaults(Family family);

/// Gives biases to all linear maps and norms, or to none.
void set_all_biases(GptConfig& config, bool present);

/// Returns whether the family normalises by LayerNorm rather than by RMSNorm.
bool has_layer_norm(Family family);

/// Returns whether the family has learned positions rather than RoPE.
bool has_learned_positions(Family family);

/// Returns whether the activation has two input maps, a gate and what it multiplies.
bool is_gated(Activation activation);

/// Returns whether queries and keys of a layer are rotated.
bool has_rope(const GptConfig& config, int64_t layer);

/// Returns whether attention in a layer sees only a window.
bool has_window(const GptConfig& config, int64_t layer);

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
/// official SimpleGPT code for llama2 and llama3; the others have the same names, plus `.bias` for biases,
/// `pos_embeddings.weight`, and w1, w2 for feed-forward layers without a gate. A tied head has no `output.weight`.
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
/// n_kv_heads, rope_theta, max_seq_len, dim, n_layers, n_heads, vocab_size) and the names of the other fields.
std::string config_to_json(const GptConfig& config);

/// Parses the result of config_to_json(), or the official form, which has ffn_dim_multiplier and multiple_of instead of
/// ffn_hidden_dim. Absent keys have the value of family_defaults(); `bias` stands for all four kinds of bias.
/// \throws std::runtime_error  one line that names the key and what it should be
GptConfig config_from_json(const std::string& json);

const char* to_string(Family family);
const char* to_string(Placement placement);
const char* to_string(Activation activation);
const char* to_string(QkNorm norm);
const char* to_string(RopeType type);

/// \throws std::runtime_error  naming the accepted words
Family parse_family(const std::string& word);
Placement parse_placement(const std::string& word);
Activation parse_activation(const std::string& word);
QkNorm parse_qk_norm(const std::string& word);
RopeType parse_rope_type(const std::string& word);

}  // namespace hessian::models
