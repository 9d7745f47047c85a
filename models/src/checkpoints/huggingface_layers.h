#pragma once

#include <cstdint>

#include "checkpoints/huggingface_settings.h"
#include "hessian/models/config.h"

namespace hessian::models {

// Which layers of a model have a sliding window or no rotation. config.json lists them one by one, or has a rule that differs
// between families; GptConfig has the shortest pattern whose repetition gives the list.

/// Reads the window of families in which all layers have the same: `sliding_window`.
/// \param fallback  window if the key is absent, 0 for none; null means none
void read_uniform_window(const HuggingFaceSettings& settings, int64_t fallback, GptConfig& config);

/// Reads the windows of Qwen: `use_sliding_window` (false), `sliding_window` (4096), and `layer_types`, by default windows in
/// the layers from `max_window_layers` (28) on.
void read_qwen_windows(const HuggingFaceSettings& settings, GptConfig& config);

/// Reads the windows of Gemma: `sliding_window` (4096), and `layer_types`, by default full attention in every n-th layer.
/// \param n             2 in Gemma 2, 6 in Gemma 3
/// \param configurable  whether `sliding_window_pattern` replaces n
void read_gemma_windows(const HuggingFaceSettings& settings, int64_t n, bool configurable, GptConfig& config);

/// Reads the layers of SmolLM3: `no_rope_layers` has a 0 per layer without rotation, by default every
/// `no_rope_layer_interval`-th (4); these have a window if `use_sliding_window` and `sliding_window` are given, unless
/// `layer_types` says otherwise.
void read_smollm3_layers(const HuggingFaceSettings& settings, GptConfig& config);

}  // namespace hessian::models
