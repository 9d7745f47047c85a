#include <nlohmann/json.hpp>
#include <stdexcept>

#include "hessian/models/config.h"
#include "io/json_reader.h"

namespace hessian::models {
namespace {

using nlohmann::json;

/// Returns the value of a key, or the fallback if it is absent or null.
/// \throws std::runtime_error  if it has another type
template <class T>
T value_or(const json& object, const char* key, T fallback) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return fallback;
  }
  try {
    if constexpr (std::is_same_v<T, int64_t>) {
      if (!found->is_number_integer()) {
        throw std::runtime_error("");
      }
    }
    return found->template get<T>();
  } catch (const std::exception&) {
    throw std::runtime_error(std::string("configuration key '") + key + "' is " + json_text(*found) + ", expected " +
                             (std::is_same_v<T, std::string> ? "a word"
                              : std::is_same_v<T, bool>      ? "true or false"
                              : std::is_same_v<T, double>    ? "a number"
                                                             : "an integer"));
  }
}

template <class T>
T required(const json& object, const char* key) {
  if (!object.contains(key) || object.at(key).is_null()) {
    throw std::runtime_error(std::string("configuration key '") + key + "' is missing");
  }
  return value_or<T>(object, key, T{});
}

json rope_scaling_json(const RopeScaling& scaling) {
  if (scaling.type == RopeType::plain) {
    return nullptr;
  }
  json object;
  object["type"] = to_string(scaling.type);
  object["factor"] = scaling.factor;
  object["original_max_seq_len"] = scaling.original_max_seq_len;
  object["attention_factor"] = scaling.attention_factor;
  object["low_freq_factor"] = scaling.low_freq_factor;
  object["high_freq_factor"] = scaling.high_freq_factor;
  object["beta_fast"] = scaling.beta_fast;
  object["beta_slow"] = scaling.beta_slow;
  object["truncate"] = scaling.truncate;
  object["mscale"] = scaling.mscale;
  object["mscale_all_dim"] = scaling.mscale_all_dim;
  object["short_factors"] = scaling.short_factors;
  object["long_factors"] = scaling.long_factors;
  return object;
}

std::vector<double> numbers(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) {
    return {};
  }
  std::vector<double> result;
  for (const json& number : *found) {
    if (!found->is_array() || !number.is_number()) {
      throw std::runtime_error(std::string("configuration key '") + key + "' is " + json_text(*found) +
                               ", expected a list of numbers");
    }
    result.push_back(number.get<double>());
  }
  return result;
}

RopeScaling read_rope_scaling(const json& object) {
  const auto found = object.find("rope_scaling");
  RopeScaling scaling;
  if (found == object.end() || found->is_null()) {
    return scaling;
  }
  if (!found->is_object()) {
    throw std::runtime_error("configuration key 'rope_scaling' is " + json_text(*found) + ", expected an object");
  }
  scaling.type = parse_rope_type(required<std::string>(*found, "type"));
  scaling.factor = value_or<double>(*found, "factor", scaling.factor);
  scaling.original_max_seq_len = value_or<int64_t>(*found, "original_max_seq_len", scaling.original_max_seq_len);
  scaling.attention_factor = value_or<double>(*found, "attention_factor", scaling.attention_factor);
  scaling.low_freq_factor = value_or<double>(*found, "low_freq_factor", scaling.low_freq_factor);
  scaling.high_freq_factor = value_or<double>(*found, "high_freq_factor", scaling.high_freq_factor);
  scaling.beta_fast = value_or<double>(*found, "beta_fast", scaling.beta_fast);
  scaling.beta_slow = value_or<double>(*found, "beta_slow", scaling.beta_slow);
  scaling.truncate = value_or<bool>(*found, "truncate", scaling.truncate);
  scaling.mscale = value_or<double>(*found, "mscale", scaling.mscale);
  scaling.mscale_all_dim = value_or<double>(*found, "mscale_all_dim", scaling.mscale_all_dim);
  scaling.short_factors = numbers(*found, "short_factors");
  scaling.long_factors = numbers(*found, "long_factors");
  return scaling;
}

/// Reads what differs between families. Absent keys keep the family's value.
void read_details(const json& object, GptConfig& config) {
  // Checkpoints of earlier versions have one key for all biases.
  const auto all = object.find("bias");
  const auto bias = [&](const char* key, bool fallback) {
    return value_or<bool>(object, key, all == object.end() ? fallback : value_or<bool>(object, "bias", fallback));
  };
  config.qkv_bias = bias("qkv_bias", config.qkv_bias);
  config.out_bias = bias("out_bias", config.out_bias);
  config.ffn_bias = bias("ffn_bias", config.ffn_bias);
  config.norm_bias = bias("norm_bias", config.norm_bias);
  config.gain_offset = value_or<double>(object, "gain_offset", config.gain_offset);
  config.parallel = value_or<bool>(object, "parallel", config.parallel);
  config.qk_norm = parse_qk_norm(value_or<std::string>(object, "qk_norm", to_string(config.qk_norm)));
  config.rope_theta = value_or<double>(object, "rope_theta", config.rope_theta);
  config.rope_scaling = read_rope_scaling(object);
  config.rotated_dim = value_or<int64_t>(object, "rotated_dim", config.rotated_dim);
  config.local_rope_theta = value_or<double>(object, "local_rope_theta", config.local_rope_theta);
  config.rope_pattern = value_or<std::string>(object, "rope_pattern", config.rope_pattern);
  config.window = value_or<int64_t>(object, "window", config.window);
  config.window_pattern = value_or<std::string>(object, "window_pattern", config.window_pattern);
  config.query_scalar = value_or<double>(object, "query_scalar", config.query_scalar);
  config.attention_cap = value_or<double>(object, "attention_cap", config.attention_cap);
  config.logit_cap = value_or<double>(object, "logit_cap", config.logit_cap);
  config.scaled_embedding = value_or<bool>(object, "scaled_embedding", config.scaled_embedding);
}

}  // namespace

std::string config_to_json(const GptConfig& config) {
  json object;
  object["family"] = to_string(config.family);
  object["norm"] = to_string(config.placement);
  object["dim"] = config.dim;
  object["n_layers"] = config.n_layers;
  object["n_heads"] = config.n_heads;
  object["n_kv_heads"] = config.n_kv_heads;
  object["head_dim"] = config.head_dim;
  object["ffn_hidden_dim"] = config.ffn_hidden_dim;
  object["vocab_size"] = config.vocab_size;
  object["max_seq_len"] = config.max_seq_len;
  object["norm_eps"] = config.norm_eps;
  object["rope_theta"] = config.rope_theta;
  object["tied_head"] = config.tied_head;
  object["activation"] = to_string(config.activation);
  object["qkv_bias"] = config.qkv_bias;
  object["out_bias"] = config.out_bias;
  object["ffn_bias"] = config.ffn_bias;
  object["norm_bias"] = config.norm_bias;
  object["gain_offset"] = config.gain_offset;
  object["parallel"] = config.parallel;
  object["qk_norm"] = to_string(config.qk_norm);
  object["rope_scaling"] = rope_scaling_json(config.rope_scaling);
  object["rotated_dim"] = config.rotated_dim;
  object["local_rope_theta"] = config.local_rope_theta;
  object["rope_pattern"] = config.rope_pattern;
  object["window"] = config.window;
  object["window_pattern"] = config.window_pattern;
  object["query_scalar"] = config.query_scalar;
  object["attention_cap"] = config.attention_cap;
  object["logit_cap"] = config.logit_cap;
  object["scaled_embedding"] = config.scaled_embedding;
  return object.dump();
}

GptConfig config_from_json(const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    throw std::runtime_error("the configuration is not a JSON object");
  }
  GptConfig config = family_defaults(parse_family(required<std::string>(object, "family")));
  config.placement = parse_placement(required<std::string>(object, "norm"));
  config.dim = required<int64_t>(object, "dim");
  config.n_layers = required<int64_t>(object, "n_layers");
  config.n_heads = required<int64_t>(object, "n_heads");
  config.n_kv_heads = value_or<int64_t>(object, "n_kv_heads", config.n_heads);
  config.vocab_size = required<int64_t>(object, "vocab_size");
  config.max_seq_len = required<int64_t>(object, "max_seq_len");
  config.norm_eps = value_or<double>(object, "norm_eps", config.norm_eps);
  config.tied_head = value_or<bool>(object, "tied_head", config.tied_head);
  config.activation = parse_activation(value_or<std::string>(object, "activation", to_string(config.activation)));
  read_details(object, config);

  const bool derived_head_dim = value_or<int64_t>(object, "head_dim", 0) == 0;
  if (derived_head_dim && (config.n_heads < 1 || config.dim % config.n_heads != 0)) {
    throw std::runtime_error("n_heads " + std::to_string(config.n_heads) + " does not divide dim " +
                             std::to_string(config.dim));
  }
  config.head_dim = derived_head_dim ? config.dim / config.n_heads : value_or<int64_t>(object, "head_dim", 0);
  config.ffn_hidden_dim = value_or<int64_t>(object, "ffn_hidden_dim", 0);
  if (config.ffn_hidden_dim == 0) {
    const auto multiplier = value_or<double>(object, "ffn_dim_multiplier", 0.0);
    const auto multiple_of = value_or<int64_t>(object, "multiple_of", 256);
    constexpr int64_t largest = int64_t{1} << 30;  // beyond any model, and far from overflow
    if (multiple_of < 1 || multiple_of > largest || config.dim < 1 || config.dim > largest || !(multiplier >= 0) ||
        multiplier > 1e3) {
      throw std::runtime_error("dim, multiple_of and ffn_dim_multiplier give no width of the feed-forward layer");
    }
    const auto scale = multiplier > 0 ? std::optional<double>(multiplier) : std::nullopt;
    config.ffn_hidden_dim =
        has_layer_norm(config.family) ? 4 * config.dim : swiglu_hidden_dim(config.dim, scale, multiple_of);
  }
  validate(config);
  return config;
}

}  // namespace hessian::models
