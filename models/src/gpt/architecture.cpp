#include "gpt/architecture.h"

#include <cmath>
#include <string>
#include <utility>

namespace hessian::models {
namespace {

constexpr Initialiser ones{1.0, 0.0, 0.0};
constexpr Initialiser zeros{0.0, 0.0, 0.0};

Initialiser normal(double std) {
  return {0.0, std, 0.0};
}

/// Standard deviation of nearly every linear map, in Llama and GPT-2.
constexpr double base_std = 0.02;

/// Returns the standard deviation of the maps that write to the residual stream, which decreases with depth. Llama
/// scales each layer by its own depth (and scales w3 with them); GPT-2 scales all layers by the number of layers.
double residual_std(const GptConfig& config, int64_t layer) {
  const int64_t depth = config.family == Family::gpt2 ? config.n_layers : layer + 1;
  return base_std / std::sqrt(2.0 * static_cast<double>(depth));
}

/// Writes the program of a stage together with its parameters.
class Writer {
 public:
  Writer(const GptConfig& config, std::string prefix, int n_inputs) : config_(config), prefix_(std::move(prefix)) {
    stage_.program.n_inputs = n_inputs;
  }

  ValueId linear(const std::string& name, ValueId x, int64_t in, int64_t out, double std) {
    Linear linear{parameter(name + ".weight", {out, in}, normal(std)), ""};
    if (config_.bias) {
      linear.bias = parameter(name + ".bias", {out}, zeros);
    }
    return push(std::move(linear), {x});
  }

  ValueId rms_norm(const std::string& name, ValueId x, int64_t width) {
    return push(RmsNorm{parameter(name + ".weight", {width}, ones), config_.norm_eps}, {x});
  }

  /// Adds the family's norm of the residual stream.
  ValueId norm(const std::string& name, ValueId x) {
    if (config_.family != Family::gpt2) {
      return rms_norm(name, x, config_.dim);
    }
    LayerNorm norm{parameter(name + ".weight", {config_.dim}, ones), "", config_.norm_eps};
    if (config_.bias) {
      norm.bias = parameter(name + ".bias", {config_.dim}, zeros);
    }
    return push(std::move(norm), {x});
  }

  /// Adds a linear map of a layer, followed by RMSNorm in SimpleNorm models.
  ValueId projection(const std::string& plain_name, const std::string& simple_name, ValueId x, int64_t in, int64_t out,
                     double std) {
    if (config_.placement != Placement::simplegpt) {
      return linear(plain_name, x, in, out, std);
    }
    return rms_norm(simple_name + ".norm", linear(simple_name + ".lin", x, in, out, std), out);
  }

  /// Returns the input of a branch of a layer: the normalised residual stream, or the stream itself if the placement
  /// has no norm there.
  ValueId branch_input(const std::string& norm_name, ValueId x) {
    const bool bare = config_.placement == Placement::simplegpt || config_.placement == Placement::postnorm;
    return bare ? push(Identity{}, {x}) : norm(norm_name, x);
  }

  /// Adds a branch's output to the residual stream.
  ValueId join(const std::string& name, ValueId x, ValueId branch) {
    switch (config_.placement) {
      case Placement::postnorm:
        return norm(name + "_norm", push(Add{}, {x, branch}));
      case Placement::sandwich:
        return push(Add{}, {x, norm(name + "_post_norm", branch)});
      default:
        return push(Add{}, {x, branch});
    }
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

ValueId write_attention(const GptConfig& config, int64_t layer, Writer& writer, ValueId x) {
  const int64_t q_width = config.n_heads * config.head_dim;
  const int64_t kv_width = config.n_kv_heads * config.head_dim;
  const ValueId input = writer.branch_input("attention_norm", x);
  writer.name_site("attn_in", input);
  ValueId q = writer.projection("attention.wq", "attention.snq", input, config.dim, q_width, base_std);
  ValueId k = writer.projection("attention.wk", "attention.snk", input, config.dim, kv_width, base_std);
  const ValueId v = writer.projection("attention.wv", "attention.snv", input, config.dim, kv_width, base_std);
  if (config.placement == Placement::preqknorm) {
    q = writer.rms_norm("attention.q_norm", q, q_width);
    k = writer.rms_norm("attention.k_norm", k, kv_width);
  }
  if (config.family != Family::gpt2) {
    const Rope rope{config.head_dim, config.rope_theta};
    q = writer.push(rope, {q});
    k = writer.push(rope, {k});
  }
  const ValueId mixed = writer.push(CausalAttention{config.n_heads, config.n_kv_heads}, {q, k, v});
  writer.name_site("attn_proj_in", mixed);
  const ValueId output =
      writer.projection("attention.wo", "attention.sno", mixed, q_width, config.dim, residual_std(config, layer));
  return writer.join("attention", x, output);
}

ValueId write_feed_forward(const GptConfig& config, int64_t layer, Writer& writer, ValueId x) {
  const int64_t hidden = config.ffn_hidden_dim;
  const double small_std = residual_std(config, layer);
  const ValueId input = writer.branch_input("ffn_norm", x);
  writer.name_site("ffn_in", input);
  const ValueId first = writer.projection("feed_forward.w1", "feed_forward.sn1", input, config.dim, hidden, base_std);
  ValueId inner = 0;
  if (config.activation == Activation::silu_gate) {
    const ValueId up = writer.projection("feed_forward.w3", "feed_forward.sn3", input, config.dim, hidden, small_std);
    inner = writer.push(SiluGate{}, {first, up});
  } else {
    inner = writer.push(Gelu{config.activation == Activation::gelu_tanh}, {first});
  }
  writer.name_site("ffn_down_in", inner);
  const ValueId output = writer.projection("feed_forward.w2", "feed_forward.sn2", inner, hidden, config.dim, small_std);
  return writer.join("ffn", x, output);
}

/// Adds the final norm; returns its output and the name of the head's weight.
std::pair<ValueId, std::string> write_head(const GptConfig& config, Writer& writer) {
  const ValueId normed = writer.norm("norm", 0);
  if (config.tied_head) {
    return {normed, "tok_embeddings.weight"};
  }
  const Initialiser initialiser = config.family == Family::gpt2
                                      ? normal(base_std)
                                      : Initialiser{0.0, 1.0 / std::sqrt(static_cast<double>(config.dim)), 3.0};
  return {normed, writer.parameter("output.weight", {config.vocab_size, config.dim}, initialiser)};
}

}  // namespace

Stage describe_embedding(const GptConfig& config) {
  Writer writer(config, "", 1);
  const bool gpt2 = config.family == Family::gpt2;
  const std::string table =
      writer.parameter("tok_embeddings.weight", {config.vocab_size, config.dim}, normal(gpt2 ? base_std : 1.0));
  ValueId x = writer.push(Embedding{table}, {0});
  if (gpt2) {
    const std::string positions =
        writer.parameter("pos_embeddings.weight", {config.max_seq_len, config.dim}, normal(base_std));
    x = writer.push(AddPositions{positions}, {x});
  }
  return writer.finish(x);
}

Stage describe_layer(const GptConfig& config, int64_t layer) {
  Writer writer(config, "layers." + std::to_string(layer) + ".", 1);
  const ValueId middle = write_attention(config, layer, writer, 0);
  return writer.finish(write_feed_forward(config, layer, writer, middle));
}

Stage describe_logits(const GptConfig& config) {
  Writer writer(config, "", 1);
  const auto [normed, head] = write_head(config, writer);
  return writer.finish(writer.push(Linear{head, ""}, {normed}));
}

Stage describe_loss(const GptConfig& config) {
  Writer writer(config, "", 2);
  const auto [normed, head] = write_head(config, writer);
  return writer.finish(writer.push(CrossEntropyHead{head}, {normed, 1}));
}

}  // namespace hessian::models
