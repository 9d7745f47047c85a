#include "gpt/named_sizes.h"

namespace hessian::models {
namespace {

// Source: nanoGPT's config/train_shakespeare_char.py, and the table in its GPT.from_pretrained.
NamedSize gpt2(const char* name, int64_t dim, int64_t n_layers, int64_t n_heads, int64_t vocab_size,
               int64_t positions) {
  GptConfig config = family_defaults(Family::gpt2);
  config.dim = dim;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.n_kv_heads = n_heads;
  config.head_dim = dim / n_heads;
  config.ffn_hidden_dim = 4 * dim;
  config.vocab_size = vocab_size;
  config.max_seq_len = positions;
  return {name, config};
}

// Source: config.json of EleutherAI/pythia-14m and so on, on the Hugging Face Hub. A quarter of each head is rotated. The
// vocabulary of 50254 words is padded to a multiple that depends on the number of devices that a model was trained on.
NamedSize pythia(const char* name, int64_t dim, int64_t n_layers, int64_t n_heads, int64_t vocab_size = 50304) {
  GptConfig config = family_defaults(Family::pythia);
  config.dim = dim;
  config.n_layers = n_layers;
  config.n_heads = n_heads;
  config.n_kv_heads = n_heads;
  config.head_dim = dim / n_heads;
  config.rotated_dim = config.head_dim / 4;
  config.ffn_hidden_dim = 4 * dim;
  config.vocab_size = vocab_size;
  config.max_seq_len = 2048;
  return {name, config};
}

}  // namespace

std::vector<NamedSize> gpt2_sizes() {
  return {gpt2("10M", 384, 6, 6, 65, 256), gpt2("124M", 768, 12, 12, 50304, 1024),
          gpt2("350M", 1024, 24, 16, 50304, 1024), gpt2("774M", 1280, 36, 20, 50304, 1024),
          gpt2("1558M", 1600, 48, 25, 50304, 1024)};
}

std::vector<NamedSize> pythia_sizes() {
  return {pythia("14m", 128, 6, 4),          pythia("31m", 256, 6, 8),           pythia("70m", 512, 6, 8),
          pythia("160m", 768, 12, 12),       pythia("410m", 1024, 24, 16),       pythia("1b", 2048, 16, 8),
          pythia("1.4b", 2048, 24, 16),      pythia("2.8b", 2560, 32, 32),       pythia("6.9b", 4096, 32, 32, 50432),
          pythia("12b", 5120, 36, 40, 50688)};
}

}  // namespace hessian::models
