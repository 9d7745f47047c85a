#include "checkpoints/huggingface_rope.h"

#include <optional>
#include <stdexcept>
#include <string>

#include "io/json_reader.h"
#include "io/messages.h"

namespace hessian::models {
namespace {

using Settings = HuggingFaceSettings;

/// Returns the word for the kind of scaling: `rope_type`, or `type` as before transformers 4.43.
std::string type_word(const Settings& rope) {
  const std::string type = rope.text("rope_type", "");
  const std::string old_type = rope.text("type", "");
  if (!type.empty() && !old_type.empty() && type != old_type) {
    fail(rope.path(), "'{}' is {}, but '{}' is {}", rope.name_of("rope_type"), name_text(type), rope.name_of("type"),
         name_text(old_type));
  }
  return !type.empty() ? type : !old_type.empty() ? old_type : "default";
}

RopeType type_of(const Settings& rope, const HuggingFaceRope& form) {
  const std::string word = type_word(rope);
  if (form.longrope_only) {
    if (word == "longrope" || word == "su" || word == "yarn") {
      return RopeType::longrope;
    }
    if (word != "default") {
      fail(rope.path(), "'{}' is {}, but this architecture has only 'default' and 'longrope'",
           rope.name_of("rope_type"), name_text(word));
    }
    return RopeType::plain;
  }
  try {
    return parse_rope_type(word);
  } catch (const std::runtime_error& error) {
    fail(rope.path(), "'{}': {}", rope.name_of("rope_type"), error.what());
  }
}

/// Refuses keys that no type of RoPE has, and numbers of a scaling without its type.
void refuse_unknown_keys(const Settings& rope, RopeType type) {
  if (type == RopeType::plain) {
    rope.refuse_other_keys(
        {"rope_type", "type", "rope_theta", "partial_rotary_factor", "original_max_position_embeddings", "factor"});
    if (const double factor = rope.positive("factor", 1.0); factor != 1) {
      fail(rope.path(), "'{}' is {}, but the type is 'default', which has none", rope.name_of("factor"), factor);
    }
    return;
  }
  rope.refuse_other_keys({"rope_type", "type", "rope_theta", "partial_rotary_factor", "factor",
                          "original_max_position_embeddings", "attention_factor", "low_freq_factor", "high_freq_factor",
                          "beta_fast", "beta_slow", "truncate", "mscale", "mscale_all_dim", "short_factor",
                          "long_factor"});
}

/// Returns the object that describes RoPE, under either name.
std::optional<Settings> rope_object(const Settings& settings, const HuggingFaceRope& form) {
  auto scaling = settings.object("rope_scaling");
  auto parameters = settings.object("rope_parameters");
  for (const auto& rope : {scaling, parameters}) {
    if (rope) {
      refuse_unknown_keys(*rope, type_of(*rope, form));
    }
  }
  if (scaling && parameters && scaling->contents() != parameters->contents()) {
    fail(settings.path(), "'rope_scaling' is {}, but 'rope_parameters' is {}; only one of them is supported",
         json_text(scaling->contents()), json_text(parameters->contents()));
  }
  return scaling ? scaling : parameters;
}

/// Returns the context length of pretraining, which some types scale from. Where transformers would ignore the value in the
/// object because of one outside or of the family's own, they must be equal.
/// \param outside  the whole file; nullptr to look in the object alone
int64_t original_length(const Settings* outside, const Settings& rope, const HuggingFaceRope& form,
                        int64_t max_seq_len) {
  const char* key = "original_max_position_embeddings";
  const bool has_own = form.original_max_seq_len != 0;
  const int64_t fallback = has_own ? form.original_max_seq_len : max_seq_len;
  const int64_t inside = rope.size(key, fallback);
  const int64_t length = outside == nullptr ? inside : outside->size(key, has_own ? fallback : inside);
  if (rope.find(key) != nullptr && inside != length) {
    rope.expected(key, *rope.find(key), fmt::format("{} as outside of the object", length));
  }
  return length;
}

void read_yarn(const Settings& rope, RopeScaling& scaling) {
  scaling.beta_fast = rope.positive("beta_fast", scaling.beta_fast);
  scaling.beta_slow = rope.positive("beta_slow", scaling.beta_slow);
  scaling.truncate = rope.flag("truncate", scaling.truncate);
  const auto weight = [&](const char* key) {
    const auto* value = rope.find(key);
    return value == nullptr || *value == 0 ? 0.0 : rope.positive(key);  // transformers ignores a zero
  };
  scaling.mscale = weight("mscale");
  scaling.mscale_all_dim = weight("mscale_all_dim");
}

RopeScaling read_scaling(const Settings* outside, const Settings& rope, const HuggingFaceRope& form,
                         int64_t max_seq_len) {
  RopeScaling scaling;
  scaling.type = type_of(rope, form);
  if (scaling.type == RopeType::plain) {
    return scaling;
  }
  if (scaling.type == RopeType::linear || scaling.type == RopeType::dynamic) {
    // Dynamic scaling begins at max_position_embeddings: transformers has no use for the original length here.
    scaling.factor = rope.positive("factor");
    return scaling;
  }
  scaling.original_max_seq_len = original_length(outside, rope, form, max_seq_len);
  if (scaling.type == RopeType::llama3) {
    scaling.factor = rope.positive("factor");
    scaling.low_freq_factor = rope.positive("low_freq_factor");
    scaling.high_freq_factor = rope.positive("high_freq_factor");
    return scaling;
  }
  const double growth = static_cast<double>(max_seq_len) / static_cast<double>(scaling.original_max_seq_len);
  scaling.factor = rope.positive("factor", growth);
  scaling.attention_factor = rope.find("attention_factor") == nullptr ? 0 : rope.positive("attention_factor");
  if (scaling.type == RopeType::yarn) {
    read_yarn(rope, scaling);
  } else {
    scaling.short_factors = rope.positive_numbers("short_factor");
    scaling.long_factors = rope.positive_numbers("long_factor");
  }
  return scaling;
}

/// Returns the number of entries of a head that are rotated, 0 for all.
int64_t rotated_dim(const Settings& settings, double share, int64_t head_dim) {
  if (share == 1) {
    return 0;
  }
  const auto rotated = static_cast<int64_t>(share * static_cast<double>(head_dim));
  if (share > 1 || rotated < 2 || rotated % 2 != 0) {
    fail(settings.path(), "'partial_rotary_factor' is {}, expected a share of head_dim {} that is even", share,
         head_dim);
  }
  return rotated;
}

/// Refuses a value outside of the object which that of the object contradicts, under a name that the family does not read.
void refuse_other(const Settings& settings, const char* key, const char* read_key, double value) {
  if (std::string(key) != read_key && settings.find(key) != nullptr && settings.positive(key) != value) {
    settings.expected(key, *settings.find(key), fmt::format("{} as in '{}'", value, read_key));
  }
}

/// Checks that all entries of a head are rotated.
void refuse_partial(const Settings& settings) {
  if (const auto* share = settings.find("partial_rotary_factor"); share != nullptr && *share != 1) {
    fail(settings.path(), "'partial_rotary_factor' is {}, but only 1 is supported", json_text(*share));
  }
}

}  // namespace

void read_rope(const Settings& settings, const HuggingFaceRope& form, GptConfig& config) {
  const auto rope = rope_object(settings, form);
  config.rope_theta = settings.positive(form.theta_key, form.theta);
  double share = form.partial ? settings.positive(form.share_key, form.share) : 1.0;
  if (rope) {
    config.rope_theta = rope->positive("rope_theta", config.rope_theta);
    config.rope_scaling = read_scaling(&settings, *rope, form, config.max_seq_len);
  }
  if (!form.partial) {
    refuse_partial(settings);
    if (rope) {
      refuse_partial(*rope);
    }
    return;
  }
  share = rope ? rope->positive("partial_rotary_factor", share) : share;
  config.rotated_dim = rotated_dim(settings, share, config.head_dim);
  refuse_other(settings, "rope_theta", form.theta_key, config.rope_theta);
  refuse_other(settings, "partial_rotary_factor", form.share_key, share);
}

void read_gemma3_rope(const Settings& settings, GptConfig& config) {
  constexpr double full_theta = 1e6;
  constexpr double local_theta = 10000.0;
  const HuggingFaceRope form;
  config.rope_theta = settings.positive("rope_theta", full_theta);
  config.local_rope_theta = settings.positive("rope_local_base_freq", local_theta);
  refuse_partial(settings);
  auto scaling = settings.object("rope_scaling");
  if (const auto parameters = settings.object("rope_parameters")) {
    parameters->refuse_other_keys({"full_attention", "sliding_attention"});
    if (scaling) {
      fail(settings.path(), "has both 'rope_scaling' and 'rope_parameters', but only one of them is supported");
    }
    scaling = parameters->object("full_attention");
    if (const auto local = parameters->object("sliding_attention")) {
      if (type_word(*local) != "default") {
        fail(settings.path(), "'{}' is {}, but only 'default' is supported", local->name_of("rope_type"),
             name_text(type_word(*local)));
      }
      refuse_unknown_keys(*local, RopeType::plain);
      refuse_partial(*local);
      config.local_rope_theta = local->positive("rope_theta", config.local_rope_theta);
    }
  }
  if (scaling) {
    refuse_unknown_keys(*scaling, type_of(*scaling, form));
    refuse_partial(*scaling);
    config.rope_theta = scaling->positive("rope_theta", config.rope_theta);
    config.rope_scaling = read_scaling(nullptr, *scaling, form, config.max_seq_len);
  }
}

}  // namespace hessian::models
