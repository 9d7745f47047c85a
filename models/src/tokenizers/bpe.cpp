#include "tokenizers/bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"
#include "tokenizers/byte_level.h"

namespace hessian::models {
namespace {

constexpr std::int32_t none = -1;
constexpr std::string_view mark = "\u2581";  // stands for a space in vocabularies of sentencepiece

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32U | static_cast<std::uint32_t>(right);
}

}  // namespace

struct Bpe::Symbol {
  std::int32_t id;
  std::int32_t previous;
  std::int32_t next;  // none at the end
  bool removed = false;
};

/// Merges the symbols of one word. Candidates wait in a heap; those that other merges have made void are skipped.
class Bpe::Merger {
 public:
  Merger(const Bpe& bpe, const std::vector<std::int32_t>& ids) : bpe_(bpe) {
    const auto count = static_cast<std::int32_t>(ids.size());
    symbols_.reserve(ids.size());
    for (std::int32_t i = 0; i < count; ++i) {
      symbols_.push_back({ids[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : none});
    }
    for (std::int32_t i = 0; i + 1 < count; ++i) {
      if (const Merge* merge = merge_at(i)) {
        heap_.push_back({merge->rank, i, merge->result});
      }
    }
    std::ranges::make_heap(heap_, later);
  }

  void run() {
    while (!heap_.empty()) {
      std::ranges::pop_heap(heap_, later);
      const Candidate candidate = heap_.back();
      heap_.pop_back();
      if (is_valid(candidate)) {
        apply(candidate);
      }
    }
  }

  void append_to(TokenIds& ids) const {
    for (const Symbol& symbol : symbols_) {
      if (!symbol.removed) {
        ids.push_back(symbol.id);
      }
    }
  }

 private:
  struct Candidate {
    std::uint32_t rank;
    std::int32_t left;
    std::int32_t result;
  };

  static bool later(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.left > b.left;
  }

  Symbol& at(std::int32_t position) { return symbols_[static_cast<std::size_t>(position)]; }

  /// Returns the merge of a symbol with the next one, or nullptr.
  const Merge* merge_at(std::int32_t position) {
    const Symbol& left = at(position);
    return left.removed || left.next == none ? nullptr : bpe_.merge_of(left.id, at(left.next).id);
  }

  /// Another pair with the same result takes the place of the candidate's own pair, as in the reference.
  bool is_valid(const Candidate& candidate) {
    const Merge* merge = merge_at(candidate.left);
    return merge != nullptr && merge->result == candidate.result;
  }

  void apply(const Candidate& candidate) {
    Symbol& left = at(candidate.left);
    Symbol& right = at(left.next);
    left.id = candidate.result;
    left.next = right.next;
    right.removed = true;
    if (left.next != none) {
      at(left.next).previous = candidate.left;
    }
    push(left.previous);
    push(candidate.left);
  }

  void push(std::int32_t position) {
    if (position == none) {
      return;
    }
    if (const Merge* merge = merge_at(position)) {
      heap_.push_back({merge->rank, position, merge->result});
      std::ranges::push_heap(heap_, later);
    }
  }

  const Bpe& bpe_;
  std::vector<Symbol> symbols_;
  std::vector<Candidate> heap_;
};

Bpe::Bpe(BpeDescription description, std::string source)
    : description_(std::move(description)), source_(std::move(source)) {
  const Vocabulary& vocabulary = description_.vocabulary;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const char character = static_cast<char>(byte);
    const auto id = description_.byte_level ? vocabulary.find(byte_to_character(byte))
                    : byte < 0x80           ? vocabulary.find({&character, 1})
                                            : std::nullopt;
    byte_ids_[byte] = id.value_or(none);
    fallback_ids_[byte] = vocabulary.find(fmt::format("<0x{:02X}>", byte)).value_or(none);
  }
  const auto id_of = [&](const std::string& token) {
    const auto id = vocabulary.find(token);
    if (!id) {
      fail(source_, "a merge has the token {}, which is not in the vocabulary", name_text(token));
    }
    return *id;
  };
  std::uint32_t rank = 0;
  for (const auto& [left, right] : description_.merges) {
    const std::string& prefix = description_.word_prefix;
    const std::string result = left + (right.starts_with(prefix) ? right.substr(prefix.size()) : right);
    const auto left_id = id_of(left);
    const auto right_id = id_of(right);
    merges_[pair_key(left_id, right_id)] = {rank++, id_of(result)};
  }
  splits_at_marks_ = marks_separate_words();
  description_.merges = {};
  if (description_.byte_level && description_.ignore_merges) {
    for (const auto& [text, id] : vocabulary.ids()) {
      if (auto bytes = characters_to_bytes(text)) {
        whole_words_.emplace(std::move(*bytes), id);
      }
    }
  }
}

bool Bpe::marks_separate_words() const {
  const auto& d = description_;
  if (d.byte_level || d.ignore_merges || !d.word_prefix.empty() || !d.word_suffix.empty() || !d.vocabulary.find(mark)) {
    return false;
  }
  return std::ranges::none_of(
      d.merges, [](const auto& merge) { return merge.second.starts_with(mark) && !merge.first.ends_with(mark); });
}

const Bpe::Merge* Bpe::merge_of(std::int32_t left, std::int32_t right) const {
  return merges_.find(pair_key(left, right));
}

void Bpe::encode(std::string_view word, TokenIds& ids, WordCache& cache) const {
  if (!splits_at_marks_) {
    encode_segment(word, ids, cache);
    return;
  }
  // Words of a text without pre-tokenizer: they begin with marks that follow another character.
  std::size_t begin = 0;
  std::size_t search = 0;
  while (begin < word.size()) {
    while (word.substr(search).starts_with(mark)) {
      search += mark.size();
    }
    const std::size_t end = std::min(word.find(mark, search), word.size());
    encode_segment(word.substr(begin, end - begin), ids, cache);
    begin = search = end;
  }
}

void Bpe::encode_segment(std::string_view segment, TokenIds& ids, WordCache& cache) const {
  if (cache.append(segment, ids)) {
    return;
  }
  const std::size_t begin = ids.size();
  encode_new(segment, ids);
  cache.remember(segment, ids, begin);
}

void Bpe::encode_new(std::string_view word, TokenIds& ids) const {
  if (description_.ignore_merges) {
    const auto& words = description_.byte_level ? whole_words_ : description_.vocabulary.ids();
    if (const auto found = words.find(word); found != words.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  Merger merger(*this, symbols_of(word));
  merger.run();
  merger.append_to(ids);
}

std::vector<std::int32_t> Bpe::symbols_of(std::string_view word) const {
  std::vector<std::int32_t> symbols;
  std::optional<std::int32_t> pending;  // an unknown token that may grow
  std::string changed;
  const bool changes = !description_.word_prefix.empty() || !description_.word_suffix.empty();
  for (std::size_t i = 0; i < word.size();) {
    const std::size_t length = description_.byte_level ? 1 : utf8_length(word[i]);
    std::string_view symbol = word.substr(i, length);
    std::optional<std::int32_t> id;
    if (changes) {
      changed = (i == 0 ? "" : description_.word_prefix) + std::string(symbol) +
                (i + length == word.size() ? description_.word_suffix : "");
      symbol = changed;
      id = description_.vocabulary.find(symbol);
    } else if (length == 1) {
      const std::int32_t known = byte_ids_[static_cast<unsigned char>(word[i])];
      id = known == none ? std::nullopt : std::optional(known);
    } else {
      id = description_.vocabulary.find(symbol);
    }
    if (id) {
      if (pending) {
        symbols.push_back(*pending);
        pending.reset();
      }
      symbols.push_back(*id);
    } else {
      add_fallback(symbol, symbols, pending);
    }
    i += length;
  }
  if (pending) {
    symbols.push_back(*pending);
  }
  return symbols;
}

void Bpe::add_fallback(std::string_view character, std::vector<std::int32_t>& symbols,
                       std::optional<std::int32_t>& pending) const {
  const auto fallback_id = [this](char byte) { return fallback_ids_[static_cast<unsigned char>(byte)]; };
  if (description_.byte_fallback &&
      std::ranges::none_of(character, [&](char byte) { return fallback_id(byte) == none; })) {
    // An unknown token before it remains pending, as in the reference.
    std::ranges::transform(character, std::back_inserter(symbols), fallback_id);
    return;
  }
  if (!description_.missing_unknown.empty()) {
    fail(source_, "the unknown token {} is not in the vocabulary, but a text requires it",
         name_text(description_.missing_unknown));
  }
  if (!description_.unknown) {
    return;
  }
  if (pending && !description_.fuse_unknown) {
    symbols.push_back(*pending);
  }
  pending = description_.unknown;
}

std::vector<std::pair<std::string, std::string>> merges_of_ranks(const Vocabulary& vocabulary) {
  struct Pair {
    std::int32_t rank;
    std::size_t length;
    const std::string* token;
  };
  std::vector<Pair> pairs;
  for (const auto& [token, rank] : vocabulary.ids()) {
    for (std::size_t length = utf8_length(token[0]); length < token.size(); length += utf8_length(token[length])) {
      const std::string_view text = token;
      if (vocabulary.find(text.substr(0, length)) && vocabulary.find(text.substr(length))) {
        pairs.push_back({rank, length, &token});
      }
    }
  }
  std::ranges::sort(pairs, {}, [](const Pair& pair) { return std::pair(pair.rank, pair.length); });
  std::vector<std::pair<std::string, std::string>> merges;
  merges.reserve(pairs.size());
  for (const Pair& pair : pairs) {
    merges.emplace_back(pair.token->substr(0, pair.length), pair.token->substr(pair.length));
  }
  return merges;
}

}  // namespace hessian::models
