#include <optional>

#include "gpt/named_sizes.h"

namespace hessian::models {
namespace {

struct OfficialSize {
  Family family;
  const char* name;
  int64_t dim;
  int64_t n_layers;
  int64_t n_heads;
  int64_t n_kv_heads;
  std::optional<double> ffn_dim_multiplier;
  int64_t multiple_of;
};

// Source: the flavor tables of the official SimpleGPT code.
const std::vector<OfficialSize> official_sizes = {
    {Family::llama2, "debugmodel", 256, 8, 16, 16, std::nullopt, 256},
    {Family::llama2, "20M", 256, 4, 4, 4, std::nullopt, 256},
    {Family::llama2, "22M", 256, 6, 4, 4, std::nullopt, 256},
    {Family::llama2, "35M", 384, 6, 6, 6, std::nullopt, 256},
    {Family::llama2, "39M", 384, 8, 6, 6, std::nullopt, 256},
    {Family::llama2, "60M", 512, 8, 8, 8, std::nullopt, 256},
    {Family::llama2, "67M", 512, 10, 8, 8, std::nullopt, 256},
    {Family::llama2, "102M", 640, 12, 10, 10, std::nullopt, 256},
    {Family::llama2, "134M", 768, 12, 12, 12, std::nullopt, 256},
    {Family::llama2, "162M", 768, 16, 12, 12, std::nullopt, 256},
    {Family::llama2, "271M", 1024, 16, 16, 16, std::nullopt, 256},
    {Family::llama2, "297M", 1024, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "360M", 1152, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "1B", 2048, 18, 16, 16, std::nullopt, 256},
    {Family::llama2, "7B", 4096, 32, 32, 32, std::nullopt, 256},
    {Family::llama2, "13B", 5120, 40, 40, 40, std::nullopt, 256},
    {Family::llama2, "26B", 5120, 80, 40, 40, std::nullopt, 256},
    {Family::llama2, "70B", 8192, 80, 64, 8, 1.3, 4096},
    {Family::llama3, "debugmodel", 1024, 16, 16, 16, std::nullopt, 256},
    {Family::llama3, "8B", 4096, 32, 32, 8, 1.3, 1024},
    {Family::llama3, "70B", 8192, 80, 64, 8, 1.3, 4096},
};

NamedSize official(const OfficialSize& size) {
  GptConfig config = family_defaults(size.family);
  config.dim = size.dim;
  config.n_layers = size.n_layers;
  config.n_heads = size.n_heads;
  config.n_kv_heads = size.n_kv_heads;
  config.head_dim = size.dim / size.n_heads;
  config.ffn_hidden_dim = swiglu_hidden_dim(size.dim, size.ffn_dim_multiplier, size.multiple_of);
  config.vocab_size = size.family == Family::llama2 ? 32000 : 128256;
  config.max_seq_len = size.family == Family::llama2 ? 4096 : 8192;
  return {size.name, config};
}

/// Source: config.json of meta-llama/Llama-3.2-1B and -3B on the Hugging Face Hub.
NamedSize llama32(const char* name, int64_t dim, int64_t n_layers, int64_t n_heads) {
  GptConfig config = family_defaults(Family::llama3);
  config.dim = dim;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.n_kv_heads = 8;
  config.head_dim = dim / n_heads;
  config.ffn_hidden_dim = 8192;
  config.vocab_size = 128256;
  config.max_seq_len = 131072;
  config.tied_head = true;
  config.rope_scaling.type = RopeType::llama3;
  config.rope_scaling.factor = 32;
  config.rope_scaling.original_max_seq_len = 8192;
  return {name, config};
}

}  // namespace

std::vector<NamedSize> llama_sizes() {
  std::vector<NamedSize> sizes;
  for (const OfficialSize& size : official_sizes) {
    sizes.push_back(official(size));
  }
  sizes.push_back(llama32("1B", 2048, 16, 32));
  sizes.push_back(llama32("3B", 3072, 28, 24));
  return sizes;
}

}  // namespace hessian::models
