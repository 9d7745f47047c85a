#include "config/suggested_key.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <numeric>
#include <string_view>

namespace hessian::experiments {
namespace {

/// What other tools and papers call a key.
struct Alias {
  std::string_view word;
  std::string_view key;
};

constexpr std::array<Alias, 50> aliases = {{{"learning_rate", "optimizer.lr"},
                                            {"learningrate", "optimizer.lr"},
                                            {"max_lr", "optimizer.lr"},
                                            {"peak_lr", "optimizer.lr"},
                                            {"base_lr", "optimizer.lr"},
                                            {"eta", "optimizer.lr"},
                                            {"wd", "optimizer.weight_decay"},
                                            {"grad_clip", "optimizer.clip"},
                                            {"gradient_clip", "optimizer.clip"},
                                            {"max_grad_norm", "optimizer.clip"},
                                            {"clip_norm", "optimizer.clip"},
                                            {"optim", "optimizer.name"},
                                            {"optimizer", "optimizer.name"},
                                            {"optimiser", "optimizer.name"},
                                            {"warmup_steps", "schedule.warmup"},
                                            {"warmup_iters", "schedule.warmup"},
                                            {"scheduler", "schedule.name"},
                                            {"lr_scheduler", "schedule.name"},
                                            {"max_steps", "steps"},
                                            {"max_iters", "steps"},
                                            {"iters", "steps"},
                                            {"iterations", "steps"},
                                            {"num_steps", "steps"},
                                            {"hidden_size", "model.dim"},
                                            {"n_embd", "model.dim"},
                                            {"d_model", "model.dim"},
                                            {"width", "model.dim"},
                                            {"num_layers", "model.n_layers"},
                                            {"num_hidden_layers", "model.n_layers"},
                                            {"n_layer", "model.n_layers"},
                                            {"depth", "model.n_layers"},
                                            {"layers", "model.n_layers"},
                                            {"num_heads", "model.n_heads"},
                                            {"num_attention_heads", "model.n_heads"},
                                            {"n_head", "model.n_heads"},
                                            {"num_key_value_heads", "model.n_kv_heads"},
                                            {"intermediate_size", "model.ffn_hidden_dim"},
                                            {"block_size", "data.seq_len"},
                                            {"context_length", "data.seq_len"},
                                            {"max_seq_len", "data.seq_len"},
                                            {"sequence_length", "data.seq_len"},
                                            {"dataset", "data.source"},
                                            {"text", "data.source"},
                                            {"gradient_accumulation_steps", "data.accumulation"},
                                            {"eval_interval", "validation.every"},
                                            {"eval_every", "validation.every"},
                                            {"save_every", "checkpoint.every"},
                                            {"precision", "dtype"},
                                            {"out_dir", "out"},
                                            {"output_dir", "out"}}};

std::string last_part(const std::string& key) {
  return key.substr(key.rfind('.') + 1);  // the whole key if there is no point, since npos + 1 is 0
}

/// Returns the last part in lower case, with underscores for hyphens.
std::string plain_last_part(const std::string& key) {
  std::string part = last_part(key);
  std::transform(part.begin(), part.end(), part.begin(),
                 [](unsigned char c) { return c == '-' ? '_' : static_cast<char>(std::tolower(c)); });
  return part;
}

}  // namespace

std::string suggested_key(const std::string& key, const std::vector<std::string>& known) {
  const std::string part = plain_last_part(key);
  const auto alias = std::find_if(aliases.begin(), aliases.end(), [&](const Alias& a) { return a.word == part; });
  if (alias != aliases.end() && std::find(known.begin(), known.end(), alias->key) != known.end()) {
    return std::string(alias->key);
  }
  std::vector<std::string> same;
  std::copy_if(known.begin(), known.end(), std::back_inserter(same),
               [&](const std::string& other) { return last_part(other) == part; });
  return nearest_word(key, same.empty() ? known : same);
}

std::string nearest_word(const std::string& word, const std::vector<std::string>& known) {
  const auto distance = [&word](const std::string& other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 1; i <= word.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= other.size(); ++j) {
        const std::size_t replaced = diagonal + (word[i - 1] == other[j - 1] ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
      }
    }
    return row.back();
  };
  return *std::min_element(known.begin(), known.end(),
                           [&](const std::string& a, const std::string& b) { return distance(a) < distance(b); });
}

}  // namespace hessian::experiments
