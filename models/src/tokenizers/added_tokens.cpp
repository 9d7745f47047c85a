#include "tokenizers/added_tokens.h"

#include <algorithm>
#include <utility>

#include "io/utf8.h"
#include "tokenizers/unicode.h"

namespace hessian::models {
namespace {

bool ends_with_word(std::string_view text) {
  return !text.empty() && is_word(first_code_point(text.substr(last_code_point_begin(text))));
}

bool starts_with_word(std::string_view text) {
  return !text.empty() && is_word(first_code_point(text));
}

std::size_t trailing_space_begin(std::string_view text) {
  while (!text.empty()) {
    const std::size_t last = last_code_point_begin(text);
    if (!is_whitespace(first_code_point(text.substr(last)))) {
      break;
    }
    text = text.substr(0, last);
  }
  return text.size();
}

std::size_t leading_space_size(std::string_view text) {
  std::size_t size = 0;
  while (size < text.size() && is_whitespace(first_code_point(text.substr(size)))) {
    size += utf8_length(text[size]);
  }
  return size;
}

}  // namespace

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer) : tokens_(std::move(tokens)) {
  for (std::size_t i = 0; i < tokens_.size(); ++i) {
    AddedToken& token = tokens_[i];
    positions_[token.id] = i;
    token.decoded = token.normalized && normalizer ? normalizer(token.content) : token.content;
  }
  // Of two tokens that read the same, a special one is found.
  for (const bool special : {true, false}) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].special == special) {
        (tokens_[i].normalized ? normalized_ : original_).insert(tokens_[i].decoded, static_cast<std::int32_t>(i));
      }
    }
  }
}

std::vector<Section> AddedTokens::split(std::string_view text, bool normalized) const {
  const ByteTrie& trie = normalized ? normalized_ : original_;
  std::vector<Section> sections;
  std::size_t done = 0;
  std::size_t from = 0;
  while (const auto match = trie.find(text, from)) {
    from = match->end;
    const AddedToken& token = tokens_[static_cast<std::size_t>(match->value)];
    std::size_t begin = match->begin;
    std::size_t end = match->end;
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) {
      continue;
    }
    if (token.lstrip) {
      begin = begin < done ? done : done + trailing_space_begin(text.substr(done, begin - done));
    }
    if (token.rstrip) {
      end += leading_space_size(text.substr(end));
    }
    end = std::max(begin, end);
    if (done < begin) {
      sections.push_back({text.substr(done, begin - done), std::nullopt});
    }
    sections.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) {
    sections.push_back({text.substr(done), std::nullopt});
  }
  return sections;
}

}  // namespace hessian::models
