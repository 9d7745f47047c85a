#include "gpt/architecture.h"

#include <cmath>
#include <string>
#include <utility>

#include "gpt/rope.h"

namespace hessian::models {
namespace {

constexpr Initialiser ones{1.0, 0.0, 0.0};
constexpr Initialiser zeros{0.0, 0.0, 0.0};

Initialiser normal(double std) {
  return {0.0, std, 0.0};
}

/// Standard deviation of linear maps and embeddings in most families: transformers' `initializer_range`.
constexpr double usual_std = 0.02;

bool is_llama(Family family) {
  return family == Family::llama2 || family == Family::llama3;
}

bool is_simple(const GptConfig& config) {
  return config.placement == Placement::simplegpt;
}

/// Returns the standard deviation of the maps that read the residual stream.
/// Source for pythia: Nguyen & Salazar (2019), arXiv 1910.05895 ("small init").
double reading_std(const GptConfig& config) {
  return config.family == Family::pythia ? std::sqrt(2.0 / (5.0 * static_cast<double>(config.dim))) : usual_std;
}

/// Returns the standard deviation of the maps that write to the residual stream. Llama scales each layer by its own depth
/// (and scales w3 with them); GPT-2 scales all layers by the number of layers.
/// Source for pythia: Wang & Komatsuzaki (2021), GPT-J ("Wang init").
double writing_std(const GptConfig& config, int64_t layer) {
  if (config.family == Family::pythia) {
    return 2.0 / (static_cast<double>(config.n_layers) * std::sqrt(static_cast<double>(config.dim)));
  }
  if (config.family != Family::gpt2 && !is_llama(config.family)) {
    return usual_std;
  }
  const int64_t depth = config.family == Family::gpt2 ? config.n_layers : layer + 1;
  return usual_std / std::sqrt(2.0 * static_cast<double>(depth));
}

/// A linear map of a layer.
struct Projection {
  std::string name;         ///< of the map
  std::string simple_name;  ///< of the map and its norm in SimpleNorm models
  int64_t in = 0;
  int64_t out = 0;
  double std = 0;  ///< initial standard deviation
  bool bias = false;
};

/// Writes the program of a stage together with its parameters.
class Writer {
 public:
  Writer(const GptConfig& config, std::string prefix, int n_inputs) : config_(config), prefix_(std::move(prefix)) {
    stage_.program.n_inputs = n_inputs;
  }

  /// Adds an RMSNorm of each of `heads` parts of x. Its initial gain is such that it multiplies by 1.
  /// \param width  of one part
  ValueId rms_norm(const std::string& name, ValueId x, int64_t width, int64_t heads = 1) {
    const Initialiser unit{1.0 - config_.gain_offset, 0.0, 0.0};
    return push(RmsNorm{.gain = parameter(name + ".weight", {width}, unit),
                        .eps = config_.norm_eps,
                        .heads = heads,
                        .gain_offset = config_.gain_offset},
                {x});
  }

  /// Adds the family's norm of the residual stream.
  ValueId norm(const std::string& name, ValueId x) {
    if (!has_layer_norm(config_.family)) {
      return rms_norm(name, x, config_.dim);
    }
    LayerNorm norm{parameter(name + ".weight", {config_.dim}, ones), "", config_.norm_eps};
    if (config_.norm_bias) {
      norm.bias = parameter(name + ".bias", {config_.dim}, zeros);
    }
    return push(std::move(norm), {x});
  }

  /// Adds a linear map of a layer, followed by RMSNorm in SimpleNorm models.
  ValueId projection(const Projection& map, ValueId x) {
    const bool simple = is_simple(config_);
    const std::string name = simple ? map.simple_name + ".lin" : map.name;
    Linear linear{parameter(name + ".weight", {map.out, map.in}, normal(map.std)), ""};
    if (map.bias) {
      linear.bias = parameter(name + ".bias", {map.out}, zeros);
    }
    const ValueId y = push(std::move(linear), {x});
    return simple ? rms_norm(map.simple_name + ".norm", y, map.out) : y;
  }

  /// Returns the input of a branch of a layer: the normalised residual stream, or the stream itself if the placement
  /// has no norm there.
  ValueId branch_input(const std::string& norm_name, ValueId x) {
    switch (config_.placement) {
      case Placement::simplegpt:
      case Placement::postnorm:
      case Placement::reordered:
        return push(Identity{}, {x});
      default:
        return norm(norm_name, x);
    }
  }

  /// Returns what a branch adds to the residual stream: its output, normalised if the placement says so.
  ValueId branch_output(const std::string& name, ValueId branch) {
    const bool normalised = config_.placement == Placement::sandwich || config_.placement == Placement::reordered;
    return normalised ? norm(name + "_post_norm", branch) : branch;
  }

  /// Adds a branch to the residual stream.
  ValueId join(const std::string& name, ValueId x, ValueId branch) {
    const ValueId sum = push(Add{}, {x, branch});
    return config_.placement == Placement::postnorm ? norm(name + "_norm", sum) : sum;
  }

  std::string parameter(const std::string& name, std::vector<int64_t> shape, Initialiser initialiser) {
    stage_.parameters.push_back({prefix_ + name, std::move(shape), initialiser});
    return prefix_ + name;
  }

  ValueId push(Operation operation, std::vector<ValueId> inputs) {
    return stage_.program.push(std::move(operation), std::move(inputs));
  }

  void name_site(const std::string& name, ValueId value) { stage_.program.sites[name] = value; }

  Stage finish(ValueId output) {
    stage_.program.output = output;
    return std::move(stage_);
  }

 private:
  const GptConfig& config_;
  std::string prefix_;
  Stage stage_;
};

/// Adds the norms of queries and keys that family and placement have.
/// \param heads  of q or of k
ValueId write_qk_norm(const GptConfig& config, Writer& writer, const std::string& name, ValueId x, int64_t heads) {
  if (config.placement == Placement::preqknorm || (config.qk_norm == QkNorm::width && !is_simple(config))) {
    return writer.rms_norm(name, x, heads * config.head_dim);
  }
  if (config.qk_norm == QkNorm::head && !is_simple(config)) {
    return writer.rms_norm(name, x, config.head_dim, heads);
  }
  return x;
}

/// Adds the attention of a layer; returns what it adds to the residual stream x.
ValueId write_attention(const GptConfig& config, int64_t layer, Writer& writer, ValueId x) {
  const int64_t dim = config.dim;
  const int64_t q_width = config.n_heads * config.head_dim;
  const int64_t kv_width = config.n_kv_heads * config.head_dim;
  const double std = reading_std(config);
  const ValueId input = writer.branch_input("attention_norm", x);
  writer.name_site("attn_in", input);
  ValueId q = writer.projection({"attention.wq", "attention.snq", dim, q_width, std, config.qkv_bias}, input);
  ValueId k = writer.projection({"attention.wk", "attention.snk", dim, kv_width, std, config.qkv_bias}, input);
  const ValueId v = writer.projection({"attention.wv", "attention.snv", dim, kv_width, std, config.qkv_bias}, input);
  q = write_qk_norm(config, writer, "attention.q_norm", q, config.n_heads);
  k = write_qk_norm(config, writer, "attention.k_norm", k, config.n_kv_heads);
  if (has_rope(config, layer)) {
    const Rope rope = rope_of(config, layer);
    q = writer.push(rope, {q});
    k = writer.push(rope, {k});
  }
  const CausalAttention attention{.n_heads = config.n_heads,
                                  .n_kv_heads = config.n_kv_heads,
                                  .scale = config.query_scalar == 0 ? 0 : 1 / std::sqrt(config.query_scalar),
                                  .soft_cap = config.attention_cap,
                                  .window = has_window(config, layer) ? config.window : 0};
  const ValueId mixed = writer.push(attention, {q, k, v});
  writer.name_site("attn_proj_in", mixed);
  const ValueId output = writer.projection(
      {"attention.wo", "attention.sno", q_width, dim, writing_std(config, layer), config.out_bias}, mixed);
  return writer.branch_output("attention", output);
}

/// Adds the activation between the feed-forward maps.
/// \param second  the other factor of a gate; unused without one
ValueId write_activation(Activation activation, Writer& writer, ValueId first, ValueId second) {
  switch (activation) {
    case Activation::silu_gate:
      return writer.push(SiluGate{}, {first, second});
    case Activation::gelu_gate:
    case Activation::gelu_tanh_gate:
      return writer.push(GeluGate{activation == Activation::gelu_tanh_gate}, {first, second});
    case Activation::gelu:
    case Activation::gelu_tanh:
      break;
  }
  return writer.push(Gelu{activation == Activation::gelu_tanh}, {first});
}

/// Adds the feed-forward branch of a layer; returns what it adds to the residual stream x.
ValueId write_feed_forward(const GptConfig& config, int64_t layer, Writer& writer, ValueId x) {
  const int64_t dim = config.dim;
  const int64_t hidden = config.ffn_hidden_dim;
  const double std = reading_std(config);
  const double small_std = writing_std(config, layer);
  const ValueId input = writer.branch_input("ffn_norm", x);
  writer.name_site("ffn_in", input);
  const ValueId first =
      writer.projection({"feed_forward.w1", "feed_forward.sn1", dim, hidden, std, config.ffn_bias}, input);
  ValueId second = 0;
  if (is_gated(config.activation)) {
    const double up_std = is_llama(config.family) ? small_std : std;
    second = writer.projection({"feed_forward.w3", "feed_forward.sn3", dim, hidden, up_std, config.ffn_bias}, input);
  }
  const ValueId inner = write_activation(config.activation, writer, first, second);
  writer.name_site("ffn_down_in", inner);
  const ValueId output =
      writer.projection({"feed_forward.w2", "feed_forward.sn2", hidden, dim, small_std, config.ffn_bias}, inner);
  return writer.branch_output("ffn", output);
}

/// Adds the final norm; returns its output and the name of the head's weight.
std::pair<ValueId, std::string> write_head(const GptConfig& config, Writer& writer) {
  const ValueId normed = writer.norm("norm", 0);
  if (config.tied_head) {
    return {normed, "tok_embeddings.weight"};
  }
  const Initialiser initialiser = is_llama(config.family)
                                      ? Initialiser{0.0, 1.0 / std::sqrt(static_cast<double>(config.dim)), 3.0}
                                      : normal(reading_std(config));
  return {normed, writer.parameter("output.weight", {config.vocab_size, config.dim}, initialiser)};
}

}  // namespace

Stage describe_embedding(const GptConfig& config) {
  Writer writer(config, "", 1);
  const Initialiser initialiser = normal(is_llama(config.family) ? 1.0 : reading_std(config));
  const std::string table = writer.parameter("tok_embeddings.weight", {config.vocab_size, config.dim}, initialiser);
  ValueId x = writer.push(Embedding{table}, {0});
  if (config.scaled_embedding) {
    x = writer.push(Scale{std::sqrt(static_cast<double>(config.dim))}, {x});
  }
  if (has_learned_positions(config.family)) {
    const std::string positions =
        writer.parameter("pos_embeddings.weight", {config.max_seq_len, config.dim}, normal(usual_std));
    x = writer.push(AddPositions{positions}, {x});
  }
  return writer.finish(x);
}

Stage describe_layer(const GptConfig& config, int64_t layer) {
  Writer writer(config, "layers." + std::to_string(layer) + ".", 1);
  constexpr ValueId x = 0;
  const ValueId attention = write_attention(config, layer, writer, x);
  if (config.parallel) {
    const ValueId sum =
        writer.join("ffn", writer.join("attention", x, attention), write_feed_forward(config, layer, writer, x));
    return writer.finish(sum);
  }
  const ValueId middle = writer.join("attention", x, attention);
  return writer.finish(writer.join("ffn", middle, write_feed_forward(config, layer, writer, middle)));
}

Stage describe_logits(const GptConfig& config) {
  Writer writer(config, "", 1);
  const auto [normed, head] = write_head(config, writer);
  const ValueId logits = writer.push(Linear{head, ""}, {normed});
  return writer.finish(config.logit_cap == 0 ? logits : writer.push(SoftCap{config.logit_cap}, {logits}));
}

Stage describe_loss(const GptConfig& config) {
  Writer writer(config, "", 2);
  const auto [normed, head] = write_head(config, writer);
  return writer.finish(writer.push(CrossEntropyHead{head, config.logit_cap}, {normed, 1}));
}

}  // namespace hessian::models
