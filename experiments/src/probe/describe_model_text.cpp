#include <fmt/format.h>

#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "hessian/memory.h"
#include "hessian/models/named_models.h"
#include "probe/describe_model.h"
#include "probe/memory_plan.h"

namespace hessian::experiments {
namespace {

using models::GptConfig;

constexpr int64_t float32_bytes = 4;
constexpr int64_t float64_bytes = 8;

/// Numbers of parameters.
struct Counts {
  int64_t total = 0;
  int64_t inner = 0;  ///< without embeddings, learned positions and output head
};

Counts count_parameters(const GptConfig& config) {
  Counts counts;
  counts.total = models::parameter_count(config);
  const int64_t tables = config.tied_head ? 1 : 2;
  const int64_t positions = models::has_learned_positions(config.family) ? config.max_seq_len : 0;
  counts.inner = counts.total - (tables * config.vocab_size + positions) * config.dim;
  return counts;
}

/// Layers of a model that have a property.
using HasProperty = std::function<bool(const GptConfig& config, int64_t layer)>;

std::vector<int64_t> layers_with(const GptConfig& config, const HasProperty& property) {
  std::vector<int64_t> layers;
  for (int64_t layer = 0; layer < config.n_layers; ++layer) {
    if (property(config, layer)) {
      layers.push_back(layer);
    }
  }
  return layers;
}

/// Formats layers at equal distances: "3", "3-9", "0, 2 ... 24". Returns an empty text if the distances differ.
std::string progression(const std::vector<int64_t>& layers) {
  if (layers.size() == 1) {
    return fmt::format("{}", layers.front());
  }
  const int64_t step = layers[1] - layers[0];
  for (std::size_t i = 2; i < layers.size(); ++i) {
    if (layers[i] - layers[i - 1] != step) {
      return "";
    }
  }
  if (step == 1) {
    return fmt::format("{}-{}", layers.front(), layers.back());
  }
  return layers.size() == 2 ? fmt::format("{}, {}", layers[0], layers[1])
                            : fmt::format("{}, {} ... {}", layers[0], layers[1], layers.back());
}

/// Formats layers as numbers and ranges: "0-4, 6-10".
std::string ranges(const std::vector<int64_t>& layers) {
  std::string text;
  for (std::size_t begin = 0; begin < layers.size();) {
    std::size_t end = begin + 1;
    while (end < layers.size() && layers[end] == layers[end - 1] + 1) {
      ++end;
    }
    text += text.empty() ? "" : ", ";
    text += end - begin == 1 ? fmt::format("{}", layers[begin]) : fmt::format("{}-{}", layers[begin], layers[end - 1]);
    begin = end;
  }
  return text;
}

/// Describes the layers that have a property, as briefly as possible: "all layers", "layers 0, 2 ... 24", "all layers
/// but 5, 11 ... 59". Precondition: at least one layer has it.
std::string layers_text(const GptConfig& config, const HasProperty& property) {
  const std::vector<int64_t> with = layers_with(config, property);
  const std::vector<int64_t> without =
      layers_with(config, [&](const GptConfig& c, int64_t layer) { return !property(c, layer); });
  if (without.empty()) {
    return "all layers";
  }
  if (const std::string text = progression(with); !text.empty()) {
    return (with.size() == 1 ? "layer " : "layers ") + text;
  }
  const std::string text = progression(without);
  return text.empty() ? "layers " + ranges(with) : "all layers but " + text;
}

/// Formats a count with commas between groups of three digits.
std::string grouped(int64_t count) {
  constexpr int64_t thousand = 1000;
  return count < thousand ? fmt::format("{}", count)
                          : fmt::format("{},{:03}", grouped(count / thousand), count % thousand);
}

std::string placement_text(const GptConfig& config) {
  switch (config.placement) {
    case models::Placement::prenorm:
    case models::Placement::preqknorm:
      return config.parallel ? "x + f(norm(x)) + g(norm(x))" : "x + f(norm(x))";
    case models::Placement::simplegpt:
      return "a norm after every linear map of a layer";
    case models::Placement::postnorm:
      return "norm(x + f(x))";
    case models::Placement::sandwich:
      return "x + norm(f(norm(x)))";
    case models::Placement::reordered:
      return "x + norm(f(x))";
  }
  return "";
}

std::string activation_text(models::Activation activation) {
  switch (activation) {
    case models::Activation::silu_gate:
      return "SiLU with a gate (SwiGLU)";
    case models::Activation::gelu:
      return "GELU";
    case models::Activation::gelu_tanh:
      return "GELU, tanh approximation";
    case models::Activation::gelu_gate:
      return "GELU with a gate";
    case models::Activation::gelu_tanh_gate:
      return "GELU with a gate, tanh approximation";
  }
  return "";
}

const char* norm_kind(const GptConfig& config) {
  return models::has_layer_norm(config.family) ? "LayerNorm" : "RMSNorm";
}

std::string norm_text(const GptConfig& config) {
  std::string text = fmt::format("{}, eps {:g}", norm_kind(config), config.norm_eps);
  return config.gain_offset == 0 ? text : text + fmt::format(", multiplies by {:g} + gain", config.gain_offset);
}

/// Returns where queries and keys are normalised, placement and family taken together.
models::QkNorm qk_norm_of(const GptConfig& config) {
  switch (config.placement) {
    case models::Placement::simplegpt:
      return models::QkNorm::none;
    case models::Placement::preqknorm:
      return models::QkNorm::width;
    default:
      return config.qk_norm;
  }
}

std::string qk_norm_text(const GptConfig& config) {
  switch (qk_norm_of(config)) {
    case models::QkNorm::none:
      return config.placement == models::Placement::simplegpt ? "RMSNorm behind their maps" : "none";
    case models::QkNorm::width:
      return "RMSNorm over all heads together";
    case models::QkNorm::head:
      return "RMSNorm of each head";
  }
  return "";
}

std::string bias_text(const GptConfig& config) {
  std::string text;
  const auto add = [&text](bool present, const char* place) {
    if (present) {
      text += text.empty() ? place : std::string(", ") + place;
    }
  };
  add(config.qkv_bias, "q, k, v");
  add(config.out_bias, "attention output");
  add(config.ffn_bias, "feed-forward");
  add(config.norm_bias, "norms");
  return text.empty() ? "none" : text;
}

int64_t rotated_dim(const GptConfig& config) {
  return config.rotated_dim == 0 ? config.head_dim : config.rotated_dim;
}

int64_t pretraining_length(const GptConfig& config) {
  const int64_t length = config.rope_scaling.original_max_seq_len;
  return length == 0 ? config.max_seq_len : length;
}

/// Describes a scaling that divides low frequencies only.
/// \param low, high  turns within the length of pretraining between which frequencies are interpolated
std::string divided_text(const models::RopeScaling& scaling, int64_t length, double low, double high) {
  return fmt::format("frequencies below {:g} turns in {} tokens divided by {:g}, those below {:g} turns interpolated",
                     low, length, scaling.factor, high);
}

std::string scaling_text(const GptConfig& config) {
  const models::RopeScaling& scaling = config.rope_scaling;
  const int64_t length = pretraining_length(config);
  switch (scaling.type) {
    case models::RopeType::plain:
      return "none";
    case models::RopeType::linear:
      return fmt::format("linear: all frequencies divided by {:g}", scaling.factor);
    case models::RopeType::dynamic:
      return fmt::format("dynamic: the base grows with the length of sequences of more than {} tokens, factor {:g}",
                         length, scaling.factor);
    case models::RopeType::llama3:
      return "llama3: " + divided_text(scaling, length, scaling.low_freq_factor, scaling.high_freq_factor);
    case models::RopeType::yarn:
      return fmt::format("yarn: {}; cosines and sines times {:.6g}",
                         divided_text(scaling, length, scaling.beta_slow, scaling.beta_fast),
                         models::rope_attention_factor(config));
    case models::RopeType::longrope:
      return fmt::format(
          "longrope: a divisor per frequency, others for sequences of more than {} tokens; cosines and sines times "
          "{:.6g}",
          length, models::rope_attention_factor(config));
  }
  return "";
}

/// A line of the table; further lines of a property have an empty name.
using Rows = std::vector<std::pair<std::string, std::string>>;

void add_positions(const GptConfig& config, Rows& rows) {
  if (models::has_learned_positions(config.family)) {
    rows.emplace_back("positions", fmt::format("learned, {}", config.max_seq_len));
    return;
  }
  rows.emplace_back("positions", fmt::format("RoPE, base {:.17g}, {} of {} entries of a head rotated",
                                             config.rope_theta, rotated_dim(config), config.head_dim));
  if (!layers_with(config, [](const GptConfig& c, int64_t layer) { return !models::has_rope(c, layer); }).empty()) {
    rows.emplace_back("", "none in " + layers_text(config, [](const GptConfig& c, int64_t layer) {
                            return !models::has_rope(c, layer);
                          }));
  }
  rows.emplace_back("RoPE scaling", scaling_text(config));
  if (config.local_rope_theta != 0) {
    rows.emplace_back("", fmt::format("layers with a window: base {:.17g}, not scaled", config.local_rope_theta));
  }
}

std::string window_text(const GptConfig& config) {
  const std::size_t count = layers_with(config, models::has_window).size();
  if (count == 0) {
    return "none";
  }
  std::string text = fmt::format("{} positions in {}", config.window, layers_text(config, models::has_window));
  return static_cast<int64_t>(count) == config.n_layers ? text : text + "; the others see all";
}

std::string cap_text(const GptConfig& config) {
  std::string text = config.attention_cap == 0 ? "" : fmt::format("attention scores {:g}", config.attention_cap);
  if (config.logit_cap != 0) {
    text += fmt::format("{}logits {:g}", text.empty() ? "" : ", ", config.logit_cap);
  }
  return text.empty() ? "none" : text;
}

double query_scalar(const GptConfig& config) {
  return config.query_scalar == 0 ? static_cast<double>(config.head_dim) : config.query_scalar;
}

void add_architecture(const GptConfig& config, Rows& rows) {
  rows.emplace_back("family", fmt::format("{}, called {} in tables and figures", to_string(config.family),
                                          models::model_label(config)));
  rows.emplace_back("placement", fmt::format("{}: {}", to_string(config.placement), placement_text(config)));
  rows.emplace_back("layers", fmt::format("{}", config.n_layers));
  rows.emplace_back("width", fmt::format("{}", config.dim));
  rows.emplace_back("attention", fmt::format("{} heads of {}, {} key/value heads; scores divided by sqrt({:g})",
                                             config.n_heads, config.head_dim, config.n_kv_heads, query_scalar(config)));
  rows.emplace_back("windows", window_text(config));
  rows.emplace_back("feed-forward", fmt::format("{}, {}", config.ffn_hidden_dim, activation_text(config.activation)));
  rows.emplace_back("norms", norm_text(config));
  rows.emplace_back("q and k norms", qk_norm_text(config));
  rows.emplace_back("biases", bias_text(config));
  add_positions(config, rows);
  rows.emplace_back("soft caps", cap_text(config));
  const std::string scale = config.scaled_embedding
                                ? fmt::format("multiplied by {:.6g}", std::sqrt(static_cast<double>(config.dim)))
                                : "not scaled";
  rows.emplace_back("embedding", scale);
  rows.emplace_back("output head", config.tied_head ? "tied to the embedding" : "has its own weights");
  rows.emplace_back("vocabulary", fmt::format("{}", config.vocab_size));
  rows.emplace_back("context", fmt::format("{} tokens", config.max_seq_len));
}

std::string stored_text(const ModelDescription& description) {
  if (description.stored.empty()) {
    return "nothing: weights are drawn when a probe starts";
  }
  std::string text;
  for (const auto& [precision, count] : description.stored) {
    text += text.empty() ? "" : ", ";
    text += description.stored.size() == 1 ? precision : fmt::format("{} {}", grouped(count), precision);
  }
  return fmt::format("{}, {}", text, format_bytes(description.stored_bytes));
}

bool is_byte_vocabulary(const ModelDescription& description) {
  const bool fresh = description.stored.empty();
  return fresh ? description.config.vocab_size >= 256 : description.config.vocab_size == 256;
}

std::string tokenizer_text(const ModelDescription& description) {
  const TokenizerDescription& tokenizer = description.tokenizer;
  if (tokenizer.bytes) {
    return "none: a token per byte of text";
  }
  if (!tokenizer.problem.empty()) {
    return "cannot be read: " + tokenizer.problem;
  }
  if (tokenizer.path.empty()) {
    return is_byte_vocabulary(description)
               ? "none: a token per byte of text, unless --tokenizer names one"
               : "none: text needs --tokenizer; or give --data tokens, as a .bin or a .safetensors";
  }
  std::string text = fmt::format("{}, {} tokens, {}", tokenizer.kind, tokenizer.size, tokenizer.path);
  return tokenizer.size <= description.config.vocab_size ? text
                                                         : text + "; refused: more tokens than the vocabulary has";
}

int64_t vector_bytes(const ModelDescription& description) {
  return description.seq_len * description.config.dim * float32_bytes;
}

void add_memory(const ModelDescription& description, int64_t parameters, Rows& rows) {
  rows.emplace_back("memory",
                    fmt::format("weights: {} in float32, {} in float64", format_bytes(parameters * float32_bytes),
                                format_bytes(parameters * float64_bytes)));
  if (description.streamed_bytes) {
    rows.emplace_back("", fmt::format("weights streamed from the file, in float32: {} at a time",
                                      format_bytes(*description.streamed_bytes)));
  }
  rows.emplace_back(
      "", fmt::format("eigensolver, per layer and sequence of {} tokens, in float32: up to {} ({} vectors)",
                      description.seq_len,
                      format_bytes(vector_bytes(description) * (MemoryPlan().max_basis + vectors_besides_basis)),
                      MemoryPlan().max_basis + vectors_besides_basis));
  rows.emplace_back("", "Hessian-vector products: measured when a probe starts; --memory limits and prints the sum");
}

nlohmann::json tokenizer_json(const TokenizerDescription& tokenizer) {
  if (tokenizer.path.empty() && tokenizer.problem.empty()) {
    return nullptr;
  }
  nlohmann::json object = {{"path", tokenizer.path}};
  if (!tokenizer.problem.empty()) {
    object["problem"] = tokenizer.problem;
    return object;
  }
  object["kind"] = tokenizer.kind;
  object["size"] = tokenizer.size;
  return object;
}

nlohmann::json rope_json(const GptConfig& config) {
  if (models::has_learned_positions(config.family)) {
    return nullptr;
  }
  return {{"rotated_dim", rotated_dim(config)},
          {"layers", layers_with(config, models::has_rope)},
          {"pretraining_length", pretraining_length(config)},
          {"attention_factor", models::rope_attention_factor(config)}};
}

}  // namespace

std::string format_text(const ModelDescription& description) {
  const Counts counts = count_parameters(description.config);
  Rows rows = {{"model", description.model}};
  rows.emplace_back("format", description.step == 0 ? description.format
                                                    : fmt::format("{}, step {}", description.format, description.step));
  add_architecture(description.config, rows);
  rows.emplace_back("parameters", fmt::format("{}; {} without embeddings and output head", grouped(counts.total),
                                              grouped(counts.inner)));
  rows.emplace_back("stored", stored_text(description));
  rows.emplace_back("tokenizer", tokenizer_text(description));
  add_memory(description, counts.total, rows);
  std::string text;
  for (const auto& [name, value] : rows) {
    text += fmt::format("{:<14} {}\n", name, value);
  }
  return text;
}

std::string format_json(const ModelDescription& description) {
  const GptConfig& config = description.config;
  const Counts counts = count_parameters(config);
  nlohmann::json object;
  object["model"] = description.model;
  object["format"] = description.format;
  object["label"] = models::model_label(config);
  object["step"] = description.step;
  object["config"] = nlohmann::json::parse(models::config_to_json(config));
  object["norm"] = norm_kind(config);
  object["qk_norm"] = to_string(qk_norm_of(config));
  object["query_scalar"] = query_scalar(config);
  object["rope"] = rope_json(config);
  object["window_layers"] = layers_with(config, models::has_window);
  object["parameters"] = counts.total;
  object["parameters_without_embeddings"] = counts.inner;
  object["stored_parameters"] = description.stored;
  object["stored_bytes"] = description.stored_bytes;
  object["tokenizer"] = tokenizer_json(description.tokenizer);
  object["seq_len"] = description.seq_len;
  object["memory"] = {{"float32_weight_bytes", counts.total * float32_bytes},
                      {"float64_weight_bytes", counts.total * float64_bytes},
                      {"float32_vector_bytes", vector_bytes(description)},
                      {"max_vectors", MemoryPlan().max_basis + vectors_besides_basis}};
  if (description.streamed_bytes) {
    object["memory"]["float32_streamed_bytes"] = *description.streamed_bytes;
  }
  return object.dump(2) + "\n";
}

}  // namespace hessian::experiments
