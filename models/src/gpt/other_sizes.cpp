#include "gpt/named_sizes.h"

namespace hessian::models {
namespace {

/// A published shape.
struct Shape {
  const char* name;
  int64_t dim;
  int64_t n_layers;
  int64_t n_heads;
  int64_t n_kv_heads;
  int64_t head_dim;
  int64_t ffn_hidden_dim;
  int64_t vocab_size;
  int64_t max_seq_len;
};

NamedSize size_of(Family family, const Shape& shape) {
  GptConfig config = family_defaults(family);
  config.dim = shape.dim;
  config.n_layers = shape.n_layers;
  config.n_heads = shape.n_heads;
  config.n_kv_heads = shape.n_kv_heads;
  config.head_dim = shape.head_dim;
  config.ffn_hidden_dim = shape.ffn_hidden_dim;
  config.vocab_size = shape.vocab_size;
  config.max_seq_len = shape.max_seq_len;
  return {shape.name, config};
}

/// Source: config.json of mistralai/Mistral-7B-v0.1 and -v0.3 on the Hugging Face Hub.
std::vector<NamedSize> mistral() {
  NamedSize first = size_of(Family::mistral, {"7B-v0.1", 4096, 32, 32, 8, 128, 14336, 32000, 32768});
  first.config.window = 4096;
  NamedSize third = size_of(Family::mistral, {"7B-v0.3", 4096, 32, 32, 8, 128, 14336, 32768, 32768});
  third.config.rope_theta = 1e6;
  return {first, third};
}

/// The shapes of Qwen2 and of Qwen2.5, which are the same where both have a size.
/// Source: config.json of Qwen/Qwen2-0.5B, -1.5B and -7B, and of Qwen/Qwen2.5-3B, -14B and -32B, on the Hugging Face Hub.
std::vector<NamedSize> qwen2() {
  const std::vector<Shape> shapes = {
      {"0.5B", 896, 24, 14, 2, 64, 4864, 151936, 131072},    {"1.5B", 1536, 28, 12, 2, 128, 8960, 151936, 131072},
      {"3B", 2048, 36, 16, 2, 128, 11008, 151936, 32768},    {"7B", 3584, 28, 28, 4, 128, 18944, 152064, 131072},
      {"14B", 5120, 48, 40, 8, 128, 13824, 152064, 131072},  {"32B", 5120, 64, 40, 8, 128, 27648, 152064, 131072},
  };
  std::vector<NamedSize> sizes;
  for (const Shape& shape : shapes) {
    NamedSize size = size_of(Family::qwen2, shape);
    size.config.tied_head = shape.dim <= 2048;
    size.config.norm_eps = shape.dim == 5120 ? 1e-5 : 1e-6;
    sizes.push_back(size);
  }
  return sizes;
}

/// Source: config.json of Qwen/Qwen3-0.6B and so on, on the Hugging Face Hub.
std::vector<NamedSize> qwen3() {
  const std::vector<Shape> shapes = {
      {"0.6B", 1024, 28, 16, 8, 128, 3072, 151936, 40960}, {"1.7B", 2048, 28, 16, 8, 128, 6144, 151936, 40960},
      {"4B", 2560, 36, 32, 8, 128, 9728, 151936, 40960},   {"8B", 4096, 36, 32, 8, 128, 12288, 151936, 40960},
      {"14B", 5120, 40, 40, 8, 128, 17408, 151936, 40960}, {"32B", 5120, 64, 64, 8, 128, 25600, 151936, 40960},
  };
  std::vector<NamedSize> sizes;
  for (const Shape& shape : shapes) {
    NamedSize size = size_of(Family::qwen3, shape);
    size.config.tied_head = shape.dim <= 2560;
    sizes.push_back(size);
  }
  return sizes;
}

/// Source: config.json of allenai/OLMo-2-0425-1B, -1124-7B, -1124-13B and -0325-32B on the Hugging Face Hub.
std::vector<NamedSize> olmo2() {
  return {size_of(Family::olmo2, {"1B", 2048, 16, 16, 16, 128, 8192, 100352, 4096}),
          size_of(Family::olmo2, {"7B", 4096, 32, 32, 32, 128, 11008, 100352, 4096}),
          size_of(Family::olmo2, {"13B", 5120, 40, 40, 40, 128, 13824, 100352, 4096}),
          size_of(Family::olmo2, {"32B", 5120, 64, 40, 8, 128, 27648, 100352, 4096})};
}

/// Source: config.json of microsoft/Phi-3-mini-4k-instruct and Phi-3-medium-4k-instruct on the Hugging Face Hub.
std::vector<NamedSize> phi3() {
  std::vector<NamedSize> sizes = {size_of(Family::phi3, {"mini-4k", 3072, 32, 32, 32, 96, 8192, 32064, 4096}),
                                  size_of(Family::phi3, {"medium-4k", 5120, 40, 40, 10, 128, 17920, 32064, 4096})};
  for (NamedSize& size : sizes) {
    size.config.window = 2047;
  }
  return sizes;
}

/// Source: config.json of HuggingFaceTB/SmolLM3-3B-Base on the Hugging Face Hub.
std::vector<NamedSize> smollm3() {
  NamedSize size = size_of(Family::smollm3, {"3B", 2048, 36, 16, 4, 128, 11008, 128256, 65536});
  size.config.rope_theta = 5e6;
  return {size};
}

}  // namespace

std::vector<NamedSize> other_sizes() {
  std::vector<NamedSize> all;
  for (const auto& sizes : {mistral(), qwen2(), qwen3(), olmo2(), phi3(), smollm3()}) {
    all.insert(all.end(), sizes.begin(), sizes.end());
  }
  return all;
}

}  // namespace hessian::models
