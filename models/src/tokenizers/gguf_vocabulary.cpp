#include "tokenizers/gguf_vocabulary.h"

#include <fmt/format.h>

#include <limits>
#include <unordered_map>
#include <utility>

#include "io/messages.h"

namespace hessian::models {
namespace {

constexpr const char* tokens_key = "tokenizer.ggml.tokens";
constexpr const char* types_key = "tokenizer.ggml.token_type";

std::optional<std::int32_t> read_id(const GgufMetadata& metadata, const char* key, std::size_t count) {
  const auto id = metadata.integer(key);
  if (!id) {
    return std::nullopt;
  }
  if (*id < 0 || static_cast<std::size_t>(*id) >= count) {
    fail(metadata.source(), "'{}' is {}, but there are {} tokens", key, *id, count);
  }
  return static_cast<std::int32_t>(*id);
}

}  // namespace

GgufVocabulary read_gguf_vocabulary(const GgufMetadata& metadata) {
  const std::string& source = metadata.source();
  auto texts = metadata.required(metadata.texts(tokens_key), tokens_key);
  if (texts.empty() || texts.size() >= std::numeric_limits<std::int32_t>::max()) {
    fail(source, "'{}' has {} tokens, expected 1 to {}", tokens_key, texts.size(),
         std::numeric_limits<std::int32_t>::max() - 1);
  }
  const auto types = metadata.integers(types_key);
  if (types && types->size() != texts.size()) {
    fail(source, "'{}' has {} entries, but there are {} tokens", types_key, types->size(), texts.size());
  }
  GgufVocabulary result;
  std::unordered_map<std::string_view, std::size_t> ids;
  result.tokens.reserve(texts.size());
  for (std::size_t id = 0; id < texts.size(); ++id) {
    GgufToken token;
    token.text = texts[id].empty() ? fmt::format("[EMPTY_{}]", id) : std::move(texts[id]);
    if (types) {
      const auto type = (*types)[id];
      if (type < static_cast<std::int64_t>(GgufTokenType::normal) ||
          type > static_cast<std::int64_t>(GgufTokenType::byte)) {
        fail(source, "the type of token {} is {}, expected 1 to 6", id, type);
      }
      token.type = static_cast<GgufTokenType>(type);
    }
    result.tokens.push_back(std::move(token));
    const auto [entry, is_new] = ids.emplace(result.tokens.back().text, id);
    if (!is_new) {
      fail(source, "tokens {} and {} are both {}", entry->second, id, name_text(entry->first));
    }
  }
  result.begin = read_id(metadata, "tokenizer.ggml.bos_token_id", texts.size());
  result.end = read_id(metadata, "tokenizer.ggml.eos_token_id", texts.size());
  return result;
}

Frame read_gguf_frame(const GgufMetadata& metadata, const GgufVocabulary& vocabulary, bool adds_begin) {
  const auto ids = [&](const char* key, bool otherwise, const std::optional<std::int32_t>& id) -> TokenIds {
    const auto wanted = metadata.flag(key);
    if (wanted.value_or(false) && !id) {
      fail(metadata.source(), "'{}' is true, but the file does not say which token that is", key);
    }
    return wanted.value_or(otherwise) && id ? TokenIds{*id} : TokenIds{};
  };
  return {ids("tokenizer.ggml.add_bos_token", adds_begin, vocabulary.begin),
          ids("tokenizer.ggml.add_eos_token", false, vocabulary.end)};
}

}  // namespace hessian::models
