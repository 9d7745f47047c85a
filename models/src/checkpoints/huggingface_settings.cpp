#include "checkpoints/huggingface_settings.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using nlohmann::json;

/// A key that changes what some model computes, and the values with which it does not.
struct ComputationKey {
  const char* key;
  std::vector<json> neutral = {};  ///< besides null
};

/// Keys of the supported architectures and of their relatives, whose configurations are sometimes relabelled.
const std::vector<ComputationKey>& computation_keys() {
  static const std::vector<ComputationKey> keys = {{"quantization_config"},
                                                   {"per_layer_config"},
                                                   {"pretraining_tp", {1}},
                                                   {"is_encoder_decoder", {false}},
                                                   {"add_cross_attention", {false}},
                                                   {"attention_bias", {false}},
                                                   {"mlp_bias", {false}},
                                                   {"use_bias", {false}},
                                                   {"use_parallel_residual", {false}},
                                                   {"parallel_attn", {false}},
                                                   {"sliding_window"},
                                                   {"use_sliding_window", {false}},
                                                   {"sliding_window_pattern"},
                                                   {"attention_chunk_size"},
                                                   {"use_bidirectional_attention", {false}},
                                                   {"no_rope_layers"},
                                                   {"no_rope_layer_interval"},
                                                   {"rope_scaling"},
                                                   {"rope_local_base_freq"},
                                                   {"partial_rotary_factor", {1}},
                                                   {"rotary_pct", {1}},
                                                   {"rotary_emb_base"},
                                                   {"alibi", {false}},
                                                   {"query_pre_attn_scalar"},
                                                   {"attn_logit_softcapping"},
                                                   {"final_logit_softcapping"},
                                                   {"clip_qkv"},
                                                   {"qk_layernorm", {false}},
                                                   {"use_qk_norm", {false}},
                                                   {"attention_multiplier"},
                                                   {"embedding_multiplier", {1}},
                                                   {"residual_multiplier", {1}},
                                                   {"logits_scaling", {1}},
                                                   {"logit_scale", {1}},
                                                   {"scale_attn_weights", {true}},
                                                   {"scale_attn_by_inverse_layer_idx", {false}},
                                                   {"reorder_and_upcast_attn", {false}},
                                                   {"num_experts", {0}},
                                                   {"num_local_experts", {0}}};
  return keys;
}

bool names_only_full_attention(const json& types) {
  return types.is_array() &&
         std::all_of(types.begin(), types.end(), [](const json& type) { return type == "full_attention"; });
}

}  // namespace

HuggingFaceSettings::HuggingFaceSettings(nlohmann::json json, std::string path, std::string prefix)
    : json_(std::move(json)), path_(std::move(path)), prefix_(std::move(prefix)) {}

const json* HuggingFaceSettings::find(const char* key) const {
  read_.insert(key);
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

bool HuggingFaceSettings::contains(const char* key) const {
  return json_.contains(key);
}

int64_t HuggingFaceSettings::size(const char* key, std::optional<int64_t> fallback) const {
  const auto* value = find(key);
  if (value == nullptr) {
    return fallback ? *fallback : (missing(key), 0);
  }
  const int64_t size = value->is_number_unsigned() ? json_size(*value, path_, "'" + name_of(key) + "'") : 0;
  if (size < 1 || size > INT32_MAX) {
    expected(key, *value, "a positive integer");
  }
  return size;
}

bool HuggingFaceSettings::flag(const char* key, bool fallback) const {
  const auto* value = find(key);
  if (value != nullptr && !value->is_boolean()) {
    expected(key, *value, "true or false");
  }
  return value == nullptr ? fallback : value->get<bool>();
}

double HuggingFaceSettings::positive(const char* key, std::optional<double> fallback) const {
  const auto* value = find(key);
  if (value == nullptr) {
    return fallback ? *fallback : (missing(key), 0);
  }
  return positive_number(key, *value);
}

double HuggingFaceSettings::positive_number(const char* key, const json& value) const {
  if (!value.is_number() || !(value.get<double>() > 0) || !std::isfinite(value.get<double>())) {
    expected(key, value, "a positive number");
  }
  return value.get<double>();
}

std::string HuggingFaceSettings::text(const char* key, const char* fallback) const {
  const auto* value = find(key);
  if (value != nullptr && !value->is_string()) {
    expected(key, *value, "a string");
  }
  return value == nullptr ? fallback : value->get<std::string>();
}

std::vector<double> HuggingFaceSettings::positive_numbers(const char* key) const {
  const auto* value = find(key);
  if (value == nullptr) {
    missing(key);
  }
  if (!value->is_array()) {
    expected(key, *value, "a list of positive numbers");
  }
  std::vector<double> numbers;
  for (const json& number : *value) {
    numbers.push_back(positive_number(key, number));
  }
  return numbers;
}

std::optional<HuggingFaceSettings> HuggingFaceSettings::object(const char* key) const {
  const auto* value = find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_object()) {
    expected(key, *value, "an object");
  }
  if (value->empty()) {
    return std::nullopt;
  }
  return HuggingFaceSettings(*value, path_, name_of(key) + ".");
}

void HuggingFaceSettings::refuse_other_keys(std::initializer_list<const char*> known) const {
  for (const auto& [key, value] : json_.items()) {
    const bool is_known = std::find(known.begin(), known.end(), key) != known.end();
    if (!is_known && !value.is_null()) {
      fail(path_, "{} is {}, but only models without it are supported", name_text(prefix_ + key), json_text(value));
    }
  }
}

void HuggingFaceSettings::refuse_unread() const {
  for (const auto& [key, neutral] : computation_keys()) {
    const auto found = json_.find(key);
    if (read_.contains(key) || found == json_.end() || found->is_null()) {
      continue;
    }
    if (neutral.empty()) {
      fail(path_, "'{}' is {}, but only models without it are supported", name_of(key), json_text(*found));
    }
    if (std::find(neutral.begin(), neutral.end(), *found) == neutral.end()) {
      fail(path_, "'{}' is {}, but only {} is supported", name_of(key), json_text(*found), json_text(neutral.front()));
    }
  }
  const auto types = json_.find("layer_types");
  if (!read_.contains("layer_types") && types != json_.end() && !types->is_null() &&
      !names_only_full_attention(*types)) {
    fail(path_, "'{}' is {}, but only \"full_attention\" is supported in every layer", name_of("layer_types"),
         json_text(*types));
  }
}

void HuggingFaceSettings::expected(const char* key, const json& value, const std::string& wanted) const {
  fail(path_, "'{}' is {}, expected {}", name_of(key), json_text(value), wanted);
}

void HuggingFaceSettings::missing(const char* key) const {
  fail(path_, "has no '{}'", name_of(key));
}

}  // namespace hessian::models
