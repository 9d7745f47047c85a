#include "tokenizers/decoders.h"

#include <charconv>
#include <optional>
#include <span>
#include <utility>

#include "io/utf8.h"
#include "tokenizers/byte_level.h"
#include "tokenizers/normalizers.h"
#include "tokenizers/regex.h"

namespace hessian::models {
namespace {

using Tokens = std::vector<std::string>;

std::string joined(const Tokens& tokens) {
  std::string text;
  for (const std::string& token : tokens) {
    text += token;
  }
  return text;
}

/// Returns the byte of a token <0x00> to <0xFF>.
std::optional<char> fallback_byte(const std::string& token) {
  unsigned value = 0;
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') {
    return std::nullopt;
  }
  const auto [end, error] = std::from_chars(token.data() + 3, token.data() + 5, value, 16);
  return error == std::errc() && end == token.data() + 5 ? std::optional(static_cast<char>(value)) : std::nullopt;
}

/// Replaces runs of byte tokens by their text; bytes that are no UTF-8 become U+FFFD each.
Tokens with_fallback_bytes(const Tokens& tokens) {
  Tokens result;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) {
      return;
    }
    if (first_invalid_utf8(std::as_bytes(std::span(bytes))) == bytes.size()) {
      result.push_back(bytes);
    } else {
      result.insert(result.end(), bytes.size(), "\ufffd");
    }
    bytes.clear();
  };
  for (const std::string& token : tokens) {
    if (const auto byte = fallback_byte(token)) {
      bytes += *byte;
    } else {
      flush();
      result.push_back(token);
    }
  }
  flush();
  return result;
}

/// Removes up to `start` and `stop` occurrences of a character from the ends of a text.
std::string stripped(std::string_view text, std::string_view character, std::int64_t start, std::int64_t stop) {
  while (start-- > 0 && text.starts_with(character)) {
    text.remove_prefix(character.size());
  }
  while (stop-- > 0 && text.ends_with(character)) {
    text.remove_suffix(character.size());
  }
  return std::string(text);
}

Decoder for_each_token(const std::function<std::string(const std::string&)>& rewritten) {
  return [rewritten](Tokens tokens) {
    for (std::string& token : tokens) {
      token = rewritten(token);
    }
    return tokens;
  };
}

Decoder parse_strip(const Component& component) {
  const std::string character = component.text("content");
  if (character.empty()) {
    fail(component.source, "'content' of {} is empty, expected a character", component.label());
  }
  const auto start = json_size(component.at("start"), component.source, "'start' of " + component.label());
  const auto stop = json_size(component.at("stop"), component.source, "'stop' of " + component.label());
  return for_each_token([=](const std::string& token) { return stripped(token, character, start, stop); });
}

Decoder parse_metaspace(const Component& component) {
  const std::string mark = component.text("replacement", "\u2581");
  const std::string scheme =
      component.text("prepend_scheme", component.flag("add_prefix_space", true) ? "always" : "never");
  const Regex pattern(literal_pattern(mark), RegexSyntax::oniguruma, component.source);
  return [mark, pattern, drops_first = scheme != "never"](Tokens tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      tokens[i] = replace_all(tokens[i], pattern, i == 0 && drops_first ? "" : " ");
    }
    return tokens;
  };
}

Decoder parse_sequence(const Component& component) {
  std::vector<Decoder> steps;
  for (const auto& element : component.list("decoders")) {
    steps.push_back(parse_decoder(component.child(element)));
  }
  return [steps](Tokens tokens) {
    for (const Decoder& step : steps) {
      tokens = step(std::move(tokens));
    }
    return tokens;
  };
}

}  // namespace

Decoder byte_level_decoder() {
  return [](Tokens tokens) {
    for (std::string& token : tokens) {
      token = characters_to_bytes(token).value_or(token);
    }
    return Tokens{joined(tokens)};
  };
}

Decoder parse_decoder(const Component& component) {
  const std::string type = component.type();
  if (type == "Sequence") {
    return parse_sequence(component);
  }
  if (type == "ByteLevel") {
    return byte_level_decoder();
  }
  if (type == "ByteFallback") {
    return with_fallback_bytes;
  }
  if (type == "Fuse") {
    return [](const Tokens& tokens) { return Tokens{joined(tokens)}; };
  }
  if (type == "Strip") {
    return parse_strip(component);
  }
  if (type == "Metaspace") {
    return parse_metaspace(component);
  }
  if (type == "Replace") {
    return for_each_token([pattern = parse_pattern(component), content = component.text("content")](
                              const std::string& token) { return replace_all(token, pattern, content); });
  }
  return [source = component.source, type](const Tokens&) -> Tokens {
    fail(source,
         "the decoder {} is not supported; supported are ByteLevel, ByteFallback, Fuse, Strip, Metaspace, Replace, "
         "Sequence",
         name_text(type));
  };
}

}  // namespace hessian::models
