#include "tokenizers/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "io/messages.h"
#include "io/utf8.h"

namespace hessian::models {
namespace {

constexpr double unknown_penalty = 10.0;  // below the score of the least probable token, as in sentencepiece
constexpr std::size_t unreached = std::numeric_limits<std::size_t>::max();

}  // namespace

/// The best division of the text before a position.
struct Unigram::Node {
  double score = 0;
  std::size_t begin = unreached;  // of the last token
  std::int32_t id = 0;
};

Unigram::Unigram(UnigramDescription description, std::string source)
    : description_(std::move(description)), source_(std::move(source)) {
  double least = std::numeric_limits<double>::infinity();
  std::int32_t id = 0;
  for (const auto& [token, score] : description_.pieces) {
    vocabulary_.add(token, id++);
    least = std::min(least, score);
  }
  for (const auto& [token, last_id] : vocabulary_.ids()) {
    trie_.insert(token, last_id);
  }
  unknown_score_ = least - unknown_penalty;
}

std::int32_t Unigram::unknown() const {
  if (!description_.unknown) {
    fail(source_, "the model has no unknown token, which a text requires");
  }
  return *description_.unknown;
}

std::vector<Unigram::Node> Unigram::best_path(std::string_view word) const {
  std::vector<Node> nodes(word.size() + 1);
  const auto improve = [&](std::size_t begin, std::size_t end, double score, std::int32_t id) {
    Node& node = nodes[end];
    if (node.begin == unreached || score > node.score) {
      node = {score, begin, id};
    }
  };
  for (std::size_t begin = 0; begin < word.size();) {
    const std::size_t length = utf8_length(word[begin]);
    const double score = nodes[begin].score;
    bool has_single = false;
    trie_.for_each_prefix(word.substr(begin), [&](std::size_t token_length, std::int32_t id) {
      improve(begin, begin + token_length, description_.pieces[static_cast<std::size_t>(id)].second + score, id);
      has_single = has_single || token_length == length;
    });
    if (!has_single) {
      improve(begin, begin + length, unknown_score_ + score, unknown());
    }
    begin += length;
  }
  return nodes;
}

void Unigram::encode(std::string_view word, TokenIds& ids, WordCache& cache) const {
  if (cache.append(word, ids)) {
    return;
  }
  const std::size_t first = ids.size();
  const std::vector<Node> nodes = best_path(word);
  std::vector<std::string_view> tokens;  // from the last to the first
  std::size_t unknown_end = 0;           // end of a run of unknown tokens, which become one; 0: none
  for (std::size_t end = word.size(); end > 0; end = nodes[end].begin) {
    const std::size_t begin = nodes[end].begin;
    if (description_.unknown && nodes[end].id == *description_.unknown) {
      unknown_end = unknown_end == 0 ? end : unknown_end;
      if (begin == 0) {
        tokens.push_back(word.substr(0, unknown_end));
      }
      continue;
    }
    if (unknown_end > 0) {
      tokens.push_back(word.substr(end, unknown_end - end));
      unknown_end = 0;
    }
    tokens.push_back(word.substr(begin, end - begin));
  }
  std::for_each(tokens.rbegin(), tokens.rend(), [&](std::string_view token) { append(token, ids); });
  cache.remember(word, ids, first);
}

void Unigram::append(std::string_view token, TokenIds& ids) const {
  if (const auto id = vocabulary_.find(token)) {
    ids.push_back(*id);
    return;
  }
  if (description_.byte_fallback) {
    TokenIds bytes;
    for (const char byte : token) {
      if (const auto id = vocabulary_.find(fmt::format("<0x{:02X}>", static_cast<unsigned char>(byte)))) {
        bytes.push_back(*id);
      }
    }
    if (bytes.size() == token.size()) {
      ids.insert(ids.end(), bytes.begin(), bytes.end());
      return;
    }
  }
  ids.push_back(unknown());
}

}  // namespace hessian::models
