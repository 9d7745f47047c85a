#include "checkpoints/huggingface_config.h"

#include <cmath>
#include <optional>

#include "io/byte_reader.h"
#include "io/json_reader.h"
#include "io/mapped_file.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

/// Reads values of config.json, with the defaults of transformers. A null counts as absent.
class Settings {
 public:
  Settings(nlohmann::json json, std::string path) : json_(std::move(json)), path_(std::move(path)) {}

  const std::string& path() const { return path_; }
  const nlohmann::json* find(const char* key) const {
    const auto found = json_.find(key);
    return found == json_.end() || found->is_null() ? nullptr : &*found;
  }

  int64_t size(const char* key, std::optional<int64_t> fallback = std::nullopt) const {
    const auto* value = find(key);
    if (value == nullptr && fallback) {
      return *fallback;
    }
    if (value == nullptr) {
      fail(path_, "has no '{}'", key);
    }
    const int64_t size = value->is_number_unsigned() ? json_size(*value, path_, key) : 0;
    // Limits sizes to less than 2^31, so that products of two sizes cannot overflow.
    if (size < 1 || size > INT32_MAX) {
      expected(key, *value, "a positive integer");
    }
    return size;
  }

  bool flag(const char* key, bool fallback) const {
    const auto* value = find(key);
    if (value != nullptr && !value->is_boolean()) {
      expected(key, *value, "true or false");
    }
    return value == nullptr ? fallback : value->get<bool>();
  }

  double positive(const char* key, double fallback) const {
    const auto* value = find(key);
    return value == nullptr ? fallback : positive_number(key, *value);
  }

  double positive_number(const char* key, const nlohmann::json& value) const {
    if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) {
      expected(key, value, "a positive number");
    }
    return value.get<double>();
  }

  std::string text(const char* key, const char* fallback) const {
    const auto* value = find(key);
    if (value != nullptr && !value->is_string()) {
      expected(key, *value, "a string");
    }
    return value == nullptr ? fallback : value->get<std::string>();
  }

  void refuse_unless(const char* key, bool wanted) const {
    if (flag(key, wanted) != wanted) {
      fail(path_, "'{}' is {}, but only {} is supported", key, !wanted, wanted);
    }
  }

  void refuse_any(const char* key) const {
    if (const auto* value = find(key)) {
      fail(path_, "'{}' is {}, but only models without it are supported", key, json_text(*value));
    }
  }

  [[noreturn]] void expected(const char* key, const nlohmann::json& value, const char* wanted) const {
    fail(path_, "'{}' is {}, expected {}", key, json_text(value), wanted);
  }

 private:
  nlohmann::json json_;
  std::string path_;
};

/// Returns dim / n_heads, the width of a head if the configuration does not give it.
int64_t head_share(const Settings& settings, int64_t dim, int64_t n_heads) {
  if (dim % n_heads != 0) {
    fail(settings.path(), "{} heads do not divide the width of {}", n_heads, dim);
  }
  return dim / n_heads;
}

/// Returns the base of RoPE, from `rope_parameters` (transformers 5) or `rope_theta`; refuses any scheme but the plain
/// one.
double read_rope_theta(const Settings& settings) {
  constexpr double llama_default = 10000.0;
  double theta = settings.positive("rope_theta", llama_default);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    const auto* rope = settings.find(key);
    if (rope == nullptr) {
      continue;
    }
    if (!rope->is_object()) {
      settings.expected(key, *rope, "an object");
    }
    for (const char* type_key : {"rope_type", "type"}) {
      const auto type = rope->find(type_key);
      if (type != rope->end() && *type != "default") {
        fail(settings.path(), "'{}' has type {}, but only the plain RoPE, \"default\", is supported", key,
             json_text(*type));
      }
    }
    if (const auto partial = rope->find("partial_rotary_factor"); partial != rope->end() && *partial != 1.0) {
      fail(settings.path(), "'partial_rotary_factor' is {}, but only 1 is supported", json_text(*partial));
    }
    if (const auto base = rope->find("rope_theta"); base != rope->end()) {
      theta = settings.positive_number("rope_theta", *base);
    }
  }
  return theta;
}

GptConfig read_llama(const Settings& settings) {
  constexpr double llama3_theta = 500000.0;
  settings.refuse_unless("attention_bias", false);
  settings.refuse_unless("mlp_bias", false);
  settings.refuse_any("sliding_window");
  if (const auto activation = settings.text("hidden_act", "silu"); activation != "silu") {
    fail(settings.path(), "'hidden_act' is {}, but only 'silu' is supported", name_text(activation));
  }
  if (settings.positive("partial_rotary_factor", 1.0) != 1.0) {
    fail(settings.path(), "'partial_rotary_factor' is not 1, but only 1 is supported");
  }
  GptConfig config;
  config.placement = Placement::prenorm;
  config.activation = Activation::silu_gate;
  config.rope_theta = read_rope_theta(settings);
  config.family = config.rope_theta >= llama3_theta ? Family::llama3 : Family::llama2;
  config.dim = settings.size("hidden_size");
  config.n_layers = settings.size("num_hidden_layers");
  config.n_heads = settings.size("num_attention_heads");
  config.n_kv_heads = settings.size("num_key_value_heads", config.n_heads);
  config.head_dim = settings.find("head_dim") != nullptr ? settings.size("head_dim")
                                                         : head_share(settings, config.dim, config.n_heads);
  config.ffn_hidden_dim = settings.size("intermediate_size");
  config.vocab_size = settings.size("vocab_size");
  config.max_seq_len = settings.size("max_position_embeddings", 2048);
  config.norm_eps = settings.positive("rms_norm_eps", 1e-6);
  config.tied_head = settings.flag("tie_word_embeddings", false);
  return config;
}

GptConfig read_gpt2(const Settings& settings) {
  settings.refuse_unless("scale_attn_weights", true);
  settings.refuse_unless("scale_attn_by_inverse_layer_idx", false);
  settings.refuse_unless("reorder_and_upcast_attn", false);
  settings.refuse_unless("add_cross_attention", false);
  GptConfig config;
  config.family = Family::gpt2;
  config.placement = Placement::prenorm;
  const std::string activation = settings.text("activation_function", "gelu_new");
  if (activation == "gelu_new" || activation == "gelu_pytorch_tanh") {
    config.activation = Activation::gelu_tanh;
  } else if (activation == "gelu") {
    config.activation = Activation::gelu;
  } else {
    fail(settings.path(),
         "'activation_function' is {}, but only 'gelu_new', 'gelu_pytorch_tanh' and 'gelu' are supported",
         name_text(activation));
  }
  config.dim = settings.size("n_embd");
  config.n_layers = settings.size("n_layer");
  config.n_heads = settings.size("n_head");
  config.n_kv_heads = config.n_heads;
  config.head_dim = head_share(settings, config.dim, config.n_heads);
  config.ffn_hidden_dim = settings.size("n_inner", 4 * config.dim);
  config.vocab_size = settings.size("vocab_size");
  config.max_seq_len = settings.size("n_positions", 1024);
  config.norm_eps = settings.positive("layer_norm_epsilon", 1e-5);
  set_all_biases(config, true);
  config.tied_head = settings.flag("tie_word_embeddings", true);
  return config;
}

/// Derives the architecture from `model_type`, for configurations without `architectures`.
std::string architecture_name(const Settings& settings) {
  if (const auto* names = settings.find("architectures")) {
    if (!names->is_array() || names->size() != 1 || !names->front().is_string()) {
      settings.expected("architectures", *names, "a list of one name");
    }
    return names->front().get<std::string>();
  }
  const std::string type = settings.text("model_type", "");
  return type == "llama" ? "LlamaForCausalLM" : type == "gpt2" ? "GPT2LMHeadModel" : type;
}

}  // namespace

HuggingFaceConfig read_huggingface_config(const std::string& path) {
  const auto file = MappedFile::open(path);
  const Settings settings(parse_json_object(as_text(file->bytes()), path, "the file"), path);
  const std::string name = architecture_name(settings);
  HuggingFaceConfig result;
  if (name == "LlamaForCausalLM") {
    result.architecture = Architecture::llama;
  } else if (name == "GPT2LMHeadModel") {
    result.architecture = Architecture::gpt2;
  } else {
    fail(path, "architecture {} is not supported; LlamaForCausalLM and GPT2LMHeadModel are", name_text(name));
  }
  settings.refuse_any("quantization_config");
  result.config = result.architecture == Architecture::llama ? read_llama(settings) : read_gpt2(settings);
  with_source(path, [&] { validate(result.config); });
  return result;
}

}  // namespace hessian::models
