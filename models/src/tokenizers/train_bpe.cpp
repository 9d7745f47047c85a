#include "tokenizers/train_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "io/messages.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/regex.h"
#include "tokenizers/vocabulary.h"

namespace hessian::models {
namespace {

using Pair = std::pair<std::int32_t, std::int32_t>;

struct Word {
  std::vector<std::int32_t> ids;
  std::int64_t count = 0;
};

/// How often a pair occurs, and the words that have or had it.
struct PairStatistics {
  std::int64_t count = 0;
  std::vector<std::size_t> words;  // may repeat, and may have lost the pair
};

/// Returns the different words of the texts in a fixed order.
std::vector<Word> count_words(std::span<const std::string_view> texts, const std::vector<std::int32_t>& ids_of_bytes) {
  const Regex pattern(gpt2_pattern, RegexSyntax::oniguruma, "GPT-2's pattern");
  TextMap<std::int64_t> counts;
  for (const std::string_view text : texts) {
    pattern.for_each_match(text, [&](std::size_t begin, std::size_t end) {
      const std::string_view word = text.substr(begin, end - begin);
      if (const auto found = counts.find(word); found != counts.end()) {
        ++found->second;
      } else {
        counts.emplace(word, 1);
      }
    });
  }
  std::vector<std::pair<std::string_view, std::int64_t>> sorted(counts.begin(), counts.end());
  std::ranges::sort(sorted);
  std::vector<Word> words;
  for (const auto& [text, count] : sorted) {
    Word word{{}, count};
    for (const char byte : text) {
      word.ids.push_back(ids_of_bytes[static_cast<unsigned char>(byte)]);
    }
    words.push_back(std::move(word));
  }
  return words;
}

/// Merges the most frequent pairs.
class Trainer {
 public:
  explicit Trainer(std::vector<Word> words) : words_(std::move(words)) {
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const auto& ids = words_[i].ids;
      for (std::size_t k = 0; k + 1 < ids.size(); ++k) {
        add({ids[k], ids[k + 1]}, words_[i].count, i);
      }
    }
    queue_changes();
  }

  /// Returns the most frequent pair, or nothing if no word has two tokens.
  std::optional<Pair> most_frequent() {
    while (!queue_.empty()) {
      const Candidate best = queue_.top();
      const auto found = pairs_.find(best.pair);
      if (found != pairs_.end() && found->second.count == best.count) {
        return best.pair;
      }
      queue_.pop();  // out of date
    }
    return std::nullopt;
  }

  /// Replaces a pair by a token wherever it occurs.
  void merge(const Pair& pair, std::int32_t token) {
    std::vector<std::size_t> words = std::move(pairs_.extract(pair).mapped().words);
    std::ranges::sort(words);
    words.erase(std::unique(words.begin(), words.end()), words.end());
    for (const std::size_t word : words) {
      merge_in(word, pair, token);
    }
    pairs_.erase(pair);  // which overlapping occurrences, as in "aaa", have counted down
    queue_changes();
  }

 private:
  struct Candidate {
    std::int64_t count;
    Pair pair;
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };

  void add(const Pair& pair, std::int64_t count, std::size_t word) {
    PairStatistics& statistics = pairs_[pair];
    statistics.count += count;
    if (count > 0 && (statistics.words.empty() || statistics.words.back() != word)) {
      statistics.words.push_back(word);
    }
    changed_.insert(pair);
  }

  void merge_in(std::size_t index, const Pair& pair, std::int32_t token) {
    Word& word = words_[index];
    auto& ids = word.ids;
    std::vector<std::int32_t> merged;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i + 1 == ids.size() || Pair{ids[i], ids[i + 1]} != pair) {
        merged.push_back(ids[i]);
        continue;
      }
      if (!merged.empty()) {
        add({merged.back(), pair.first}, -word.count, index);
        add({merged.back(), token}, word.count, index);
      }
      if (i + 2 < ids.size()) {
        add({pair.second, ids[i + 2]}, -word.count, index);
        add({token, ids[i + 2]}, word.count, index);
      }
      merged.push_back(token);
      ++i;
    }
    ids = std::move(merged);
  }

  void queue_changes() {
    for (const Pair& pair : changed_) {
      const auto found = pairs_.find(pair);
      if (found != pairs_.end() && found->second.count > 0) {
        queue_.push({found->second.count, pair});
      }
    }
    changed_.clear();
  }

  std::vector<Word> words_;
  std::map<Pair, PairStatistics> pairs_;
  std::set<Pair> changed_;
  std::priority_queue<Candidate> queue_;
};

nlohmann::json byte_level_json() {
  return {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
}

}  // namespace

std::string train_bpe(std::span<const std::string_view> texts, std::int64_t vocab_size) {
  constexpr std::int64_t max_vocab = std::int64_t{1} << 24U;
  if (vocab_size < min_trained_vocab || vocab_size > max_vocab) {
    throw std::runtime_error(fmt::format(
        "a byte-level tokenizer has {} tokens (all bytes and the end of a text) to {}, but {} are asked for",
        min_trained_vocab, max_vocab, vocab_size));
  }
  // The bytes in the order of their characters, as the reference numbers them.
  std::map<std::string, unsigned> bytes_of_characters;
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes_of_characters[byte_to_character(byte)] = byte;
  }
  std::vector<std::string> tokens;
  nlohmann::json vocab;
  std::vector<std::int32_t> ids_of_bytes(256);
  for (const auto& [character, byte] : bytes_of_characters) {
    ids_of_bytes[byte] = static_cast<std::int32_t>(tokens.size());
    vocab[character] = tokens.size();
    tokens.push_back(character);
  }
  Trainer trainer(count_words(texts, ids_of_bytes));
  nlohmann::json merges = nlohmann::json::array();
  while (static_cast<std::int64_t>(tokens.size()) + 1 < vocab_size) {
    const auto pair = trainer.most_frequent();
    if (!pair) {
      break;
    }
    const std::string left = tokens[static_cast<std::size_t>(pair->first)];
    const std::string right = tokens[static_cast<std::size_t>(pair->second)];
    // Two pairs may make the same token.
    const auto [entry, is_new] = vocab.get_ref<nlohmann::json::object_t&>().emplace(left + right, tokens.size());
    if (is_new) {
      tokens.push_back(left + right);
    }
    merges.push_back({left, right});
    trainer.merge(*pair, entry->second.get<std::int32_t>());
  }
  const nlohmann::json json = {
      {"version", "1.0"},
      {"truncation", nullptr},
      {"padding", nullptr},
      {"added_tokens",
       {{{"id", tokens.size()},
         {"content", "<|endoftext|>"},
         {"single_word", false},
         {"lstrip", false},
         {"rstrip", false},
         {"normalized", false},
         {"special", true}}}},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level_json()},
      {"post_processor", nullptr},
      {"decoder", byte_level_json()},
      {"model",
       {{"type", "BPE"},
        {"dropout", nullptr},
        {"unk_token", nullptr},
        {"continuing_subword_prefix", nullptr},
        {"end_of_word_suffix", nullptr},
        {"fuse_unk", false},
        {"byte_fallback", false},
        {"ignore_merges", false},
        {"vocab", vocab},
        {"merges", merges}}},
  };
  return json.dump(1) + "\n";
}

}  // namespace hessian::models
