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
  object["bias"] = config.bias;
  object["tied_head"] = config.tied_head;
  object["activation"] = to_string(config.activation);
  return object.dump();
}

GptConfig config_from_json(const std::string& text) {
  const json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) {
    throw std::runtime_error("the configuration is not a JSON object");
  }
  GptConfig config;
  config.family = parse_family(required<std::string>(object, "family"));
  config.placement = parse_placement(required<std::string>(object, "norm"));
  const bool gpt2 = config.family == Family::gpt2;
  config.dim = required<int64_t>(object, "dim");
  config.n_layers = required<int64_t>(object, "n_layers");
  config.n_heads = required<int64_t>(object, "n_heads");
  config.n_kv_heads = value_or<int64_t>(object, "n_kv_heads", config.n_heads);
  config.vocab_size = required<int64_t>(object, "vocab_size");
  config.max_seq_len = required<int64_t>(object, "max_seq_len");
  config.norm_eps = value_or<double>(object, "norm_eps", config.norm_eps);
  config.rope_theta = value_or<double>(object, "rope_theta", config.family == Family::llama3 ? 500000.0 : 10000.0);
  config.bias = value_or<bool>(object, "bias", false);
  config.tied_head = value_or<bool>(object, "tied_head", gpt2);
  config.activation = parse_activation(value_or<std::string>(object, "activation", gpt2 ? "gelu" : "silu_gate"));

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
    config.ffn_hidden_dim = gpt2 ? 4 * config.dim : swiglu_hidden_dim(config.dim, scale, multiple_of);
  }
  validate(config);
  return config;
}

}  // namespace hessian::models
