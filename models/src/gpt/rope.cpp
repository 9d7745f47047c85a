#include "gpt/rope.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

namespace hessian::models {
namespace {

int64_t rotated_dim_of(const GptConfig& config) {
  return config.rotated_dim == 0 ? config.head_dim : config.rotated_dim;
}

int64_t original_length(const GptConfig& config) {
  const int64_t length = config.rope_scaling.original_max_seq_len;
  return length == 0 ? config.max_seq_len : length;
}

/// Returns f(j, theta^(-2j / rotated_dim)) for each pair j: the factor of its frequency.
template <class FactorOf>
std::vector<double> factors_of_pairs(const GptConfig& config, const FactorOf& factor_of) {
  std::vector<double> factors;
  const int64_t rotated = rotated_dim_of(config);
  for (int64_t j = 0; j < rotated / 2; ++j) {
    const double exponent = -2.0 * static_cast<double>(j) / static_cast<double>(rotated);
    factors.push_back(factor_of(j, std::pow(config.rope_theta, exponent)));
  }
  return factors;
}

/// Divides frequencies of long wavelengths by the factor, keeps those of short ones, and interpolates in between, linearly in
/// the number of turns within the original length.
/// Source: Llama 3 (2024), Meta's reference code, and transformers' modeling_rope_utils.py.
std::vector<double> llama3_factors(const GptConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto length = static_cast<double>(original_length(config));
  return factors_of_pairs(config, [&](int64_t /*pair*/, double frequency) {
    const double turns = length * frequency / (2 * std::numbers::pi);
    const double kept =
        std::clamp((turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor), 0.0, 1.0);
    return (1 - kept) / scaling.factor + kept;
  });
}

/// Divides the frequencies of the pairs beyond a ramp by the factor, and keeps those before it. The ramp is linear in the
/// number of the pair, from the one that makes beta_fast turns within the original length to the one that makes beta_slow.
/// Source: Peng et al. (2023), YaRN, arXiv 2309.00071, section 3.2.
std::vector<double> yarn_factors(const GptConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto rotated = static_cast<double>(rotated_dim_of(config));
  const auto length = static_cast<double>(original_length(config));
  const auto pair_of_turns = [&](double turns) {
    return rotated * std::log(length / (turns * 2 * std::numbers::pi)) / (2 * std::log(config.rope_theta));
  };
  double begin = pair_of_turns(scaling.beta_fast);
  double end = pair_of_turns(scaling.beta_slow);
  if (scaling.truncate) {
    begin = std::floor(begin);
    end = std::ceil(end);
  }
  begin = std::max(begin, 0.0);
  end = std::min(end, rotated - 1);
  constexpr double shortest_ramp = 0.001;
  const double width = begin == end ? shortest_ramp : end - begin;
  return factors_of_pairs(config, [&](int64_t pair, double /*frequency*/) {
    const double divided = std::clamp((static_cast<double>(pair) - begin) / width, 0.0, 1.0);
    return divided / scaling.factor + (1 - divided);
  });
}

/// Returns 0.1 weight ln(factor) + 1. Source: YaRN, section 3.4.
double yarn_attention_factor(double factor, double weight) {
  return factor <= 1 ? 1.0 : 0.1 * weight * std::log(factor) + 1.0;
}

/// Returns the factor of cosines and sines.
double attention_factor(const GptConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.attention_factor != 0) {
    return scaling.attention_factor;
  }
  if (scaling.type == RopeType::yarn) {
    const bool quotient = scaling.mscale != 0 && scaling.mscale_all_dim != 0;
    return quotient ? yarn_attention_factor(scaling.factor, scaling.mscale) /
                          yarn_attention_factor(scaling.factor, scaling.mscale_all_dim)
                    : yarn_attention_factor(scaling.factor, 1.0);
  }
  if (scaling.type == RopeType::longrope && scaling.factor > 1) {
    // Source: Ding et al. (2024), LongRoPE, arXiv 2402.13753, and the code of Phi-3.
    return std::sqrt(1 + std::log(scaling.factor) / std::log(static_cast<double>(original_length(config))));
  }
  return 1.0;
}

std::vector<double> reciprocals(std::vector<double> divisors) {
  for (double& divisor : divisors) {
    divisor = 1 / divisor;
  }
  return divisors;
}

/// Adds what the scaling changes to a plain rope.
void scale(Rope& rope, const GptConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  switch (scaling.type) {
    case RopeType::plain:
      return;
    case RopeType::linear:
      rope.factors = factors_of_pairs(config, [&](int64_t, double) { return 1 / scaling.factor; });
      return;
    case RopeType::dynamic:
      // Source: transformers' modeling_rope_utils.py, _compute_dynamic_ntk_parameters.
      rope.dynamic_factor = scaling.factor;
      rope.original_positions = original_length(config);
      return;
    case RopeType::llama3:
      rope.factors = llama3_factors(config);
      return;
    case RopeType::yarn:
      rope.factors = yarn_factors(config);
      rope.scale = attention_factor(config);
      return;
    case RopeType::longrope:
      rope.factors = reciprocals(scaling.short_factors);
      rope.long_factors = reciprocals(scaling.long_factors);
      rope.original_positions = original_length(config);
      rope.scale = attention_factor(config);
      return;
  }
}

void check_positive(const char* name, double value) {
  if (!(value > 0) || !std::isfinite(value)) {
    throw std::runtime_error(fmt::format("{} of RoPE's scaling is {}, expected a positive number", name, value));
  }
}

void check_factors(const char* name, const std::vector<double>& factors, int64_t pairs) {
  if (static_cast<int64_t>(factors.size()) != pairs) {
    throw std::runtime_error(fmt::format("{} of RoPE's scaling has {} numbers, expected {}, one per rotated pair", name,
                                         factors.size(), pairs));
  }
  for (const double factor : factors) {
    check_positive(name, factor);
  }
}

}  // namespace

Rope rope_of(const GptConfig& config, int64_t layer) {
  Rope rope{.head_dim = config.head_dim, .theta = config.rope_theta, .rotated_dim = config.rotated_dim};
  if (config.local_rope_theta != 0 && has_window(config, layer)) {
    rope.theta = config.local_rope_theta;
    return rope;
  }
  scale(rope, config);
  return rope;
}

void check_rope_scaling(const GptConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  if (scaling.type == RopeType::plain) {
    return;
  }
  check_positive("factor", scaling.factor);
  if (scaling.original_max_seq_len < 0 || !(scaling.attention_factor >= 0)) {
    throw std::runtime_error(
        fmt::format("original_max_seq_len {} and attention_factor {} of RoPE's scaling must not be negative",
                    scaling.original_max_seq_len, scaling.attention_factor));
  }
  const int64_t pairs = rotated_dim_of(config) / 2;
  if (scaling.type == RopeType::dynamic && (pairs < 2 || scaling.factor < 1)) {
    throw std::runtime_error(fmt::format(
        "dynamic scaling of RoPE needs more than one pair per head and a factor of 1 or more, not {} and {}", pairs,
        scaling.factor));
  }
  if (scaling.type == RopeType::llama3 && !(scaling.high_freq_factor > scaling.low_freq_factor)) {
    throw std::runtime_error(fmt::format("high_freq_factor {} of RoPE's scaling must exceed low_freq_factor {}",
                                         scaling.high_freq_factor, scaling.low_freq_factor));
  }
  if (scaling.type == RopeType::yarn) {
    check_positive("beta_fast", scaling.beta_fast);
    check_positive("beta_slow", scaling.beta_slow);
    if (!(config.rope_theta > 1)) {
      throw std::runtime_error(fmt::format("rope_theta is {}, but yarn needs more than 1", config.rope_theta));
    }
  }
  if (scaling.type == RopeType::longrope) {
    check_factors("short_factors", scaling.short_factors, pairs);
    check_factors("long_factors", scaling.long_factors, pairs);
    if (original_length(config) < 2) {
      throw std::runtime_error("original_max_seq_len of RoPE's scaling is 1, but longrope needs more");
    }
  }
}

}  // namespace hessian::models
