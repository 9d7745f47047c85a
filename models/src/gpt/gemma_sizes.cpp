#include "gpt/named_sizes.h"

namespace hessian::models {
namespace {

struct GemmaSize {
  const char* name;
  int64_t dim;
  int64_t n_layers;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t head_dim;
  int64_t ffn_hidden_dim;
  double query_scalar;  ///< 0 for head_dim
};

// Source: config.json of google/gemma-2-2b and so on, on the Hugging Face Hub.
const std::vector<GemmaSize> gemma2_table = {
    {"2b", 2304, 26, 8, 4, 256, 9216, 0},
    {"9b", 3584, 42, 16, 8, 256, 14336, 0},
    {"27b", 4608, 46, 32, 16, 128, 36864, 144},
};

// Source: config.json of google/gemma-3-270m and so on (text_config of the larger ones), on the Hugging Face Hub.
const std::vector<GemmaSize> gemma3_table = {
    {"270m", 640, 18, 4, 1, 256, 2048, 0},       {"1b", 1152, 26, 4, 1, 256, 6912, 0},
    {"4b", 2560, 34, 8, 4, 256, 10240, 0},       {"12b", 3840, 48, 16, 8, 256, 15360, 0},
    {"27b", 5376, 62, 32, 16, 128, 21504, 168},
};

GptConfig gemma(Family family, const GemmaSize& size) {
  GptConfig config = family_defaults(family);
  config.dim = size.dim;
  config.n_layers = size.n_layers;
  config.n_heads = size.n_heads;
  config.n_kv_heads = size.n_kv_heads;
  config.head_dim = size.head_dim;
  config.ffn_hidden_dim = size.ffn_hidden_dim;
  config.query_scalar = size.query_scalar;
  return config;
}

NamedSize gemma2(const GemmaSize& size) {
  GptConfig config = gemma(Family::gemma2, size);
  config.vocab_size = 256000;
  config.max_seq_len = 8192;
  return {size.name, config};
}

/// The models from 4b on also read images, for which their embeddings have 64 more rows, and have longer contexts.
NamedSize gemma3(const GemmaSize& size) {
  GptConfig config = gemma(Family::gemma3, size);
  const bool multimodal = size.dim >= 2560;
  config.vocab_size = multimodal ? 262208 : 262144;
  config.max_seq_len = multimodal ? 131072 : 32768;
  config.window = multimodal ? 1024 : 512;
  if (multimodal) {
    config.rope_scaling.type = RopeType::linear;
    config.rope_scaling.factor = 8;
  }
  return {size.name, config};
}

}  // namespace

std::vector<NamedSize> gemma_sizes() {
  std::vector<NamedSize> sizes;
  for (const GemmaSize& size : gemma2_table) {
    sizes.push_back(gemma2(size));
  }
  for (const GemmaSize& size : gemma3_table) {
    sizes.push_back(gemma3(size));
  }
  return sizes;
}

}  // namespace hessian::models
