#include "tokenizers/tiktoken.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "io/messages.h"
#include "tokenizers/bpe.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/pipeline.h"
#include "tokenizers/regex.h"

namespace hessian::models {
namespace {

/// Decodes base64 with padding.
std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::size_t size = text.size();
  while (size > 0 && text[size - 1] == '=') {
    --size;
  }
  if (text.empty() || text.size() % 4 != 0 || text.size() - size > 2) {
    return std::nullopt;
  }
  std::string bytes;
  std::uint32_t buffer = 0;
  unsigned bits = 0;
  for (const char character : text.substr(0, size)) {
    const auto digit = digits.find(character);
    if (digit == std::string_view::npos) {
      return std::nullopt;
    }
    buffer = (buffer << 6U | static_cast<std::uint32_t>(digit)) & 0xffffU;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes += static_cast<char>(buffer >> bits & 0xffU);
    }
  }
  return bytes.empty() ? std::nullopt : std::optional(bytes);
}

struct RankedToken {
  std::string bytes;
  std::int32_t rank = 0;
};

std::optional<RankedToken> parse_line(std::string_view line) {
  if (line.ends_with('\r')) {
    line.remove_suffix(1);
  }
  const auto space = line.find(' ');
  if (space == std::string_view::npos) {
    return std::nullopt;
  }
  const auto bytes = decode_base64(line.substr(0, space));
  std::int32_t rank = -1;
  const char* end = line.data() + line.size();
  const auto [rest, error] = std::from_chars(line.data() + space + 1, end, rank);
  if (!bytes || error != std::errc() || rest != end || rank < 0) {
    return std::nullopt;
  }
  return RankedToken{*bytes, rank};
}

/// Returns the special tokens of Llama 3 in the order of their ids.
std::vector<std::string> llama3_special_tokens() {
  constexpr int count = 256;
  const auto reserved = [](int number) { return fmt::format("<|reserved_special_token_{}|>", number); };
  std::vector<std::string> tokens = {"<|begin_of_text|>", "<|end_of_text|>", reserved(0),           reserved(1),
                                     reserved(2),         reserved(3),       "<|start_header_id|>", "<|end_header_id|>",
                                     reserved(4),         "<|eot_id|>"};
  for (int number = 5; number < count - 5; ++number) {
    tokens.push_back(reserved(number));
  }
  return tokens;
}

Vocabulary parse_ranks(std::string_view text, const std::string& source) {
  Vocabulary vocabulary;
  std::size_t line_number = 0;
  while (!text.empty()) {
    ++line_number;
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line == "\r") {
      continue;
    }
    const auto token = parse_line(line);
    if (!token) {
      fail(source, "line {} is {}, expected a token in base64 and its rank", line_number, name_text(line));
    }
    const std::string characters = bytes_to_characters(token->bytes);
    if (vocabulary.find(characters) || vocabulary.text(token->rank) != nullptr) {
      fail(source, "line {} repeats a token or a rank", line_number);
    }
    vocabulary.add(characters, token->rank);
  }
  if (vocabulary.size() != static_cast<std::size_t>(vocabulary.end_id())) {
    fail(source, "has {} tokens, but ranks up to {}; every rank has to have one", vocabulary.size(),
         vocabulary.end_id() - 1);
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    if (!vocabulary.find(byte_to_character(byte))) {
      fail(source, "has no token of the byte 0x{:02x}; every byte has to have one", byte);
    }
  }
  return vocabulary;
}

}  // namespace

bool looks_like_tiktoken(std::string_view text) {
  return parse_line(text.substr(0, text.find('\n'))).has_value();
}

EncoderPointer parse_tiktoken(std::string_view text, const std::string& source) {
  BpeDescription description;
  description.vocabulary = parse_ranks(text, source);
  description.merges = merges_of_ranks(description.vocabulary);
  description.ignore_merges = true;
  description.byte_level = true;
  PipelineParts parts;
  parts.source = source;
  parts.kind = "ranked tokens of Llama 3";
  std::int32_t id = description.vocabulary.end_id();
  for (const std::string& token : llama3_special_tokens()) {
    parts.added.push_back({.content = token, .id = id++, .special = true});
  }
  parts.model = std::make_unique<Bpe>(std::move(description), source);
  parts.pre_tokenization = pattern_pre_tokenization(Regex(llama3_pattern, RegexSyntax::rust, source));
  parts.decoder = byte_level_decoder();
  parts.frame.before = {parts.added.front().id};
  return std::make_unique<Pipeline>(std::move(parts));
}

}  // namespace hessian::models
